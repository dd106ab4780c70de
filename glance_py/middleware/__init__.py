"""Filters of the WSGI pipeline: who asks, which version of the API, what the cache can answer.

Each is named by a paste file and gets what it needs from ``factory_deps`` while
the pipeline is built.  None of them decides who may do what.
"""
