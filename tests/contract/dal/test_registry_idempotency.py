"""Writes that are done once, on each database."""

from tests.contract.dal.backends import MariaDB, PostgreSQL, SQLite
from tests.contract.dal.idempotency_cases import IdempotencyCases


class TestIdempotencyOnSQLite(IdempotencyCases, SQLite):
    pass


class TestIdempotencyOnPostgreSQL(IdempotencyCases, PostgreSQL):
    pass


class TestIdempotencyOnMariaDB(IdempotencyCases, MariaDB):
    pass
