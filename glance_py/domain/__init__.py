"""Images, members and tasks as plain data, and the rules they obey.

This room imports nothing but the standard library: no database, no HTTP, no
configuration.  Everything else in the service is written in its terms.
"""
