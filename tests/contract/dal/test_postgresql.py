"""The suite on PostgreSQL."""

from tests.contract.dal.backends import PostgreSQL
from tests.contract.dal.claim_cases import ClaimCases
from tests.contract.dal.effort_cases import EffortCases
from tests.contract.dal.failure_cases import FailureCases
from tests.contract.dal.image_cases import ImageCases
from tests.contract.dal.index_cases import ServerIndexCases
from tests.contract.dal.list_cases import ListCases
from tests.contract.dal.lost_cases import LostCases
from tests.contract.dal.member_cases import MemberCases, UsageCases
from tests.contract.dal.name_cases import NameCases
from tests.contract.dal.odd_row_cases import OddRowCases
from tests.contract.dal.pending_cases import PendingCases
from tests.contract.dal.pooler_cases import PoolerCases
from tests.contract.dal.purge_cases import PurgeCases
from tests.contract.dal.quota_cases import QuotaCases
from tests.contract.dal.schema_cases import SchemaCases
from tests.contract.dal.task_cases import TaskCases
from tests.contract.dal.upgrade_cases import UpgradeCases


class TestImages(ImageCases, PostgreSQL):
    pass


class TestLists(ListCases, PostgreSQL):
    pass


class TestMembers(MemberCases, PostgreSQL):
    pass


class TestUsage(UsageCases, PostgreSQL):
    pass


class TestQuotas(QuotaCases, PostgreSQL):
    pass


class TestFailures(FailureCases, PostgreSQL):
    pass


class TestLost(LostCases, PostgreSQL):
    pass


class TestPooler(PoolerCases, PostgreSQL):
    pass


class TestEffort(EffortCases, PostgreSQL):
    pass


class TestPending(PendingCases, PostgreSQL):
    pass


class TestPurge(PurgeCases, PostgreSQL):
    pass


class TestSchema(SchemaCases, PostgreSQL):
    pass


class TestTasks(TaskCases, PostgreSQL):
    pass


class TestClaims(ClaimCases, PostgreSQL):
    pass


class TestUpgrade(UpgradeCases, PostgreSQL):
    pass


class TestOddRows(OddRowCases, PostgreSQL):
    pass


class TestIndexes(ServerIndexCases, PostgreSQL):
    pass


class TestNames(NameCases, PostgreSQL):
    pass
