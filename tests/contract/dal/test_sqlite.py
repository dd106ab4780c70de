"""The suite on SQLite."""

from tests.contract.dal.backends import SQLite
from tests.contract.dal.claim_cases import ClaimCases
from tests.contract.dal.failure_cases import FailureCases
from tests.contract.dal.image_cases import ImageCases
from tests.contract.dal.index_cases import IndexCases
from tests.contract.dal.legacy_row_cases import LegacyRowCases
from tests.contract.dal.list_cases import ListCases
from tests.contract.dal.member_cases import MemberCases, UsageCases
from tests.contract.dal.pending_cases import PendingCases
from tests.contract.dal.property_name_cases import PropertyNameCases
from tests.contract.dal.purge_cases import PurgeCases
from tests.contract.dal.query_cost_cases import QueryCostCases
from tests.contract.dal.quota_cases import QuotaCases
from tests.contract.dal.schema_cases import SchemaCases
from tests.contract.dal.task_cases import TaskCases
from tests.contract.dal.upgrade_cases import UpgradeCases


class TestImages(ImageCases, SQLite):
    pass


class TestLists(ListCases, SQLite):
    pass


class TestMembers(MemberCases, SQLite):
    pass


class TestUsage(UsageCases, SQLite):
    pass


class TestQuotas(QuotaCases, SQLite):
    pass


class TestFailures(FailureCases, SQLite):
    pass


class TestQueryCost(QueryCostCases, SQLite):
    pass


class TestPending(PendingCases, SQLite):
    pass


class TestPurge(PurgeCases, SQLite):
    pass


class TestSchema(SchemaCases, SQLite):
    pass


class TestTasks(TaskCases, SQLite):
    pass


class TestClaims(ClaimCases, SQLite):
    pass


class TestUpgrade(UpgradeCases, SQLite):
    pass


class TestLegacyRows(LegacyRowCases, SQLite):
    pass


class TestIndexes(IndexCases, SQLite):
    pass


class TestPropertyNames(PropertyNameCases, SQLite):
    pass
