"""The registry: the records of the service behind HTTP, for API hosts without a database.

``client`` has the ports of the DAL and asks a registry; ``server`` is that
registry, with the ports of a real DAL below it; ``protocol`` is what they say to
each other.  ``authorization`` checks every call on the registry's side.
"""
