"""The suite on PostgreSQL."""

import socket

import sqlalchemy as sa

from glance_py.db import engine
from glance_py.db.database import Database
from glance_py.db.timeouts import Timeouts
from tests.contract.dal.backends import PostgreSQL
from tests.contract.dal.claim_cases import ClaimCases
from tests.contract.dal.connection_loss_cases import ConnectionLossCases
from tests.contract.dal.failure_cases import FailureCases
from tests.contract.dal.image_cases import ImageCases
from tests.contract.dal.index_cases import ServerIndexCases
from tests.contract.dal.legacy_row_cases import LegacyRowCases
from tests.contract.dal.list_cases import ListCases
from tests.contract.dal.member_cases import MemberCases, UsageCases
from tests.contract.dal.pending_cases import PendingCases
from tests.contract.dal.pooler_cases import PoolerCases
from tests.contract.dal.property_name_cases import PropertyNameCases
from tests.contract.dal.purge_cases import PurgeCases
from tests.contract.dal.query_cost_cases import QueryCostCases
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


class TestConnectionLoss(ConnectionLossCases, PostgreSQL):
    pass


class TestPooler(PoolerCases, PostgreSQL):
    pass


class TestConnectionParameters(PostgreSQL):
    """A URL may name several hosts; libpq goes on to the next when one is away."""

    def test_a_host_that_does_not_answer_is_passed_over(self):
        away = socket.create_server(("127.0.0.1", 0), backlog=1)
        self.addCleanup(away.close)
        for _ in range(4):
            # Where no more connections wait, the kernel drops the first packet of further ones.
            client = socket.socket()
            self.addCleanup(client.close)
            client.setblocking(False)
            client.connect_ex(away.getsockname())
        url = sa.make_url(self.url)
        url = url.set(host=None, port=None).update_query_dict(
            {"host": f"127.0.0.1,{url.host}", "port": f"{away.getsockname()[1]},{url.port or 5432}"}
        )
        database = Database(
            engine.create_engine(url, limits=Timeouts(connect=2, response=10, lock=1))
        )
        self.addCleanup(database.dispose)
        database.ping()


class TestQueryCost(QueryCostCases, PostgreSQL):
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


class TestLegacyRows(LegacyRowCases, PostgreSQL):
    pass


class TestIndexes(ServerIndexCases, PostgreSQL):
    pass


class TestPropertyNames(PropertyNameCases, PostgreSQL):
    pass
