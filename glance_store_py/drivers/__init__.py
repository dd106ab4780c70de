"""Storage backends, one module each: input and output, and nothing else.

Each module has a class ``Driver`` that an entry point ``glance_store.drivers``
names; a backend's client library is imported when the backend is first used.
"""
