"""Imports: bringing data into images after the request was answered.

``proxy`` accepts requests, ``importer`` checks them and takes the claim of the image,
``task_executor`` runs the work in its threads.  ``flow`` orders the steps of an import, ``steps``
and ``job`` do them, ``rollback`` undoes them; ``sources`` fetch the data and ``plugins`` change
it.  ``location_import`` adds data that is in a store already, ``tasks_api`` serves the deprecated
tasks API.  Nothing here depends on HTTP towards the client or on SQL.
"""
