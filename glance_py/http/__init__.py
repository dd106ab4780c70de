"""The Image API over HTTP: a table of routes, a table of errors, and the controllers.

Only this package and ``middleware`` import WebOb.  The meaning of the JSON is in ``wire``, the
rights of a caller are in ``layers``.
"""
