"""WSGI filters in front of the API: the caller, the API version, the image cache, health.

Each is named in a paste file; its factory gets a ``FactoryDependencies`` (``factory_deps``) while
the pipeline is built.  No filter decides what a caller may do; the cache filters ask the policies.
"""
