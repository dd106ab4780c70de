"""Named stores for image data behind one small driver interface.

``stores.Stores`` is the entry point; a storage driver implements ``driver.Driver`` and is
tested with ``testing.DriverContract``.  This package stores objects, not images: it has no
hashes, formats or policy, and does not import the service that uses it.
"""
