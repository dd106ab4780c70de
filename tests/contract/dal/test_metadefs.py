"""The suite about metadata definitions on each database."""

from tests.contract.dal.backends import MariaDB, PostgreSQL, SQLite
from tests.contract.dal.metadef_cases import CatalogueCases, DefinitionCases, NamespaceCases


class TestNamespacesOnSQLite(NamespaceCases, SQLite):
    pass


class TestDefinitionsOnSQLite(DefinitionCases, SQLite):
    pass


class TestCatalogueOnSQLite(CatalogueCases, SQLite):
    pass


class TestNamespacesOnPostgreSQL(NamespaceCases, PostgreSQL):
    pass


class TestDefinitionsOnPostgreSQL(DefinitionCases, PostgreSQL):
    pass


class TestCatalogueOnPostgreSQL(CatalogueCases, PostgreSQL):
    pass


class TestNamespacesOnMariaDB(NamespaceCases, MariaDB):
    pass


class TestDefinitionsOnMariaDB(DefinitionCases, MariaDB):
    pass


class TestCatalogueOnMariaDB(CatalogueCases, MariaDB):
    pass
