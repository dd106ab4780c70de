"""The image cache of a host: copies of image data in a local directory.

The files are authoritative; a cache driver (``driver.py``) records when each image was read.  One
fill of an image serves all its readers.  The directory, with partial files, never exceeds the
configured size.  The cache does not check whether a caller may read an image.
"""
