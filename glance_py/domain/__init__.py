"""Images, members and tasks as plain data, and the rules that hold for them.

This package imports the standard library only: no database, no HTTP, no configuration.
All other packages use its types.
"""
