"""The suite on MariaDB."""

import sqlalchemy as sa

from glance_py.db import migrations
from tests.contract.dal.backends import MariaDB
from tests.contract.dal.claim_cases import ClaimCases
from tests.contract.dal.connection_loss_cases import ConnectionLossCases
from tests.contract.dal.failure_cases import FailureCases
from tests.contract.dal.galera_cases import GaleraCases
from tests.contract.dal.image_cases import ImageCases
from tests.contract.dal.index_cases import ServerIndexCases
from tests.contract.dal.legacy_row_cases import LegacyRowCases
from tests.contract.dal.list_cases import ListCases
from tests.contract.dal.member_cases import MemberCases, UsageCases
from tests.contract.dal.pending_cases import PendingCases
from tests.contract.dal.property_name_cases import CollationCases, PropertyNameCases
from tests.contract.dal.purge_cases import PurgeCases
from tests.contract.dal.query_cost_cases import QueryCostCases
from tests.contract.dal.quota_cases import QuotaCases
from tests.contract.dal.schema_cases import SchemaCases
from tests.contract.dal.task_cases import TaskCases
from tests.contract.dal.upgrade_cases import UpgradeCases


class TestImages(ImageCases, MariaDB):
    pass


class TestImagesInOldTables(ImageCases, MariaDB):
    """Tables of a database that was taken over stay in the character set that they have."""

    @classmethod
    def setUpClass(cls):
        sa.event.listen(sa.Engine, "before_cursor_execute", cls.as_before, retval=True)
        try:
            super().setUpClass()
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", cls.as_before)
        migrations.upgrade(cls.database)

    @staticmethod
    def as_before(connection, cursor, statement, parameters, context, many):
        for part, old in (
            ("CHARSET=utf8mb4", "CHARSET=utf8mb3"),
            ("COLLATE utf8mb4_unicode_520_ci", ""),
        ):
            statement = statement.replace(part, old)
        return statement, parameters

    def test_they_are_old(self):
        self.assertEqual(
            [("utf8mb3_general_ci",)],
            self.execute(
                sa.text(
                    "SELECT DISTINCT table_collation FROM information_schema.tables "
                    "WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
                )
            ),
        )


class TestLists(ListCases, MariaDB):
    pass


class TestMembers(MemberCases, MariaDB):
    pass


class TestUsage(UsageCases, MariaDB):
    pass


class TestQuotas(QuotaCases, MariaDB):
    pass


class TestFailures(FailureCases, MariaDB):
    pass


class TestConnectionLoss(ConnectionLossCases, MariaDB):
    pass


class TestGalera(GaleraCases, MariaDB):
    pass


class TestQueryCost(QueryCostCases, MariaDB):
    pass


class TestPending(PendingCases, MariaDB):
    pass


class TestPurge(PurgeCases, MariaDB):
    pass


class TestSchema(SchemaCases, MariaDB):
    pass


class TestTasks(TaskCases, MariaDB):
    pass


class TestClaims(ClaimCases, MariaDB):
    pass


class TestUpgrade(UpgradeCases, MariaDB):
    pass


class TestLegacyRows(LegacyRowCases, MariaDB):
    pass


class TestIndexes(ServerIndexCases, MariaDB):
    pass


class TestPropertyNames(PropertyNameCases, MariaDB):
    pass


class TestCollations(CollationCases, PropertyNameCases, MariaDB):
    pass
