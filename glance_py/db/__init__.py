"""Data access in a relational database: the repositories of ``domain.ports`` in SQL.

The only package that imports SQLAlchemy.  It returns values of the domain and raises errors of the
domain.  It does not authorise: the layers above do, except that lists hold only images and
namespaces that the caller may see.  ``repositories.sql_repositories`` builds all repositories.
"""
