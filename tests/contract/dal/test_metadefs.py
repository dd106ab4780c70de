"""The suite about metadata definitions on each database."""

from tests.contract.dal.backends import MariaDB, PostgreSQL, SQLite
from tests.contract.dal.metadef_cases import DefinitionCases, MetadefBulkCases, NamespaceCases


class TestNamespacesOnSQLite(NamespaceCases, SQLite):
    pass


class TestDefinitionsOnSQLite(DefinitionCases, SQLite):
    pass


class TestMetadefBulkOnSQLite(MetadefBulkCases, SQLite):
    pass


class TestNamespacesOnPostgreSQL(NamespaceCases, PostgreSQL):
    pass


class TestDefinitionsOnPostgreSQL(DefinitionCases, PostgreSQL):
    pass


class TestMetadefBulkOnPostgreSQL(MetadefBulkCases, PostgreSQL):
    pass


class TestNamespacesOnMariaDB(NamespaceCases, MariaDB):
    pass


class TestDefinitionsOnMariaDB(DefinitionCases, MariaDB):
    pass


class TestMetadefBulkOnMariaDB(MetadefBulkCases, MariaDB):
    pass
