"""Storage drivers: one module with the driver, one (``<name>_options``) with its spec.

An entry point of the group ``glance_store.drivers`` names the spec.  The client library of
a backend is imported when a store is built or first used.
"""
