"""The registry: access to the database over HTTP, for API hosts without database credentials.

``repositories`` implements the ports of the DAL with a ``client``, which sends commands to a
registry; ``server`` is the registry, which executes them with the DAL of its database.
``protocol`` and ``codec`` define the commands and their JSON.  ``authorization`` checks every
command on the registry's side.  Decision record 0007 gives the reasons.
"""
