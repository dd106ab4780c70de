"""The JSON of the Image API, declared once for each resource.

Validation, serialisation, schemas, filters and the OpenAPI document follow from
those declarations.  This room knows neither HTTP nor what a caller may do.
"""
