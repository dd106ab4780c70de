"""The JSON of the Image API: declarations of its resources, and what follows from them.

Requests become objects of the domain, and objects of the domain become documents.  This package
knows neither HTTP nor the database.
"""
