"""The image cache of a node: copies of image data in a local directory.

The files are the truth; the books (``driver.py`` and its drivers) only remember
who was read when.  One fill of an image serves all its readers, and what is in
the directory, half-filled files included, never exceeds the configured size.
Who may read an image is decided before anybody asks here.
"""
