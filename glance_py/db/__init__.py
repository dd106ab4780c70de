"""Images and what belongs to them in a relational database.

The only room that imports SQLAlchemy.  It applies what it is told and answers
in terms of the domain; whether the caller may is decided above, except that
lists hold only what the caller may see.  ``repositories.sql_repositories`` opens it.
"""
