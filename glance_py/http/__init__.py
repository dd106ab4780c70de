"""The Image API over HTTP: one table of routes, one of errors, and thin controllers.

With ``middleware`` the only room that knows WebOb; what the JSON means is known
in ``wire``, what a caller may do in ``layers``.
"""
