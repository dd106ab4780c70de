"""Bringing data into images after the request was answered: the interoperable import.

``proxy`` judges a request and takes the lock, ``task_executor`` owns the threads,
``flow`` and ``steps`` say what happens in which order and how it is taken back,
``sources`` fetch, ``plugins`` change what was fetched.  Nothing here speaks
HTTP with the client or SQL.
"""
