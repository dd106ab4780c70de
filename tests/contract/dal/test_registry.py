"""The suite over a registry: through its client, its protocol and its pipeline.

The registry stands before each of the databases.  Cases that look behind the
DAL, at schemas and statements, are the databases' own business.
"""

from keystoneauth1 import loading
from oslo_config import cfg

from glance_py import config, pipeline
from glance_py.middleware.factory_deps import FactoryDependencies
from glance_py.policies.enforcer import Enforcer
from glance_py.registry.repositories import remote_repositories
from glance_py.registry.server import Registry
from glance_py.settings import Settings
from tests.contract.dal.backends import MariaDB, PostgreSQL, SQLite
from tests.contract.dal.claim_cases import ClaimCases
from tests.contract.dal.failure_cases import FailureCases
from tests.contract.dal.image_cases import ImageCases
from tests.contract.dal.list_cases import ListCases
from tests.contract.dal.member_cases import MemberCases, UsageCases
from tests.contract.dal.metadef_cases import DefinitionCases, NamespaceCases
from tests.contract.dal.pending_cases import PendingCases
from tests.contract.dal.quota_cases import QuotaCases
from tests.contract.dal.test_cached_images import CachedImageCases
from tests.functional.registry import InProcessConnection


def through_registry(repositories, connect=lambda wire: wire):
    """``records`` as an API host sees them.

    :param repositories: those of one registry, or a tuple of several.
    :param connect: makes the host's connection from the wires to the registries.
    """
    conf = cfg.ConfigOpts()
    config.register(conf)
    loading.register_auth_conf_options(conf, "service_user")
    conf.register_opts(loading.get_auth_plugin_conf_options("admin_token"), "service_user")
    conf([], default_config_files=[])
    conf.set_override("flavor", "fakeauth", "paste_deploy")
    for name, value in (
        ("auth_type", "admin_token"),
        ("endpoint", "http://registry.invalid"),
        ("token", "glance:service:service"),
    ):
        conf.set_override(name, value, "service_user")
    wires = []
    for each in repositories if isinstance(repositories, tuple) else (repositories,):
        deps = FactoryDependencies(
            conf, Settings.from_conf(conf), Enforcer(conf), Registry(each), each.ping
        )
        wires.append(InProcessConnection(pipeline.load(deps, pipeline.REGISTRY)))
    return remote_repositories(conf, connect(*wires))


class ThroughRegistry:
    """Puts a registry between the cases and the database of the class."""

    can_kill_connections = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.repositories = through_registry(cls.direct)


class TestImageOverSQLite(ThroughRegistry, ImageCases, SQLite):
    pass


class TestListOverSQLite(ThroughRegistry, ListCases, SQLite):
    pass


class TestMemberOverSQLite(ThroughRegistry, MemberCases, SQLite):
    pass


class TestUsageOverSQLite(ThroughRegistry, UsageCases, SQLite):
    pass


class TestClaimsOverSQLite(ThroughRegistry, ClaimCases, SQLite):
    pass


class TestQuotasOverSQLite(ThroughRegistry, QuotaCases, SQLite):
    pass


class TestPendingOverSQLite(ThroughRegistry, PendingCases, SQLite):
    pass


class TestNamespaceOverSQLite(ThroughRegistry, NamespaceCases, SQLite):
    pass


class TestDefinitionOverSQLite(ThroughRegistry, DefinitionCases, SQLite):
    pass


class TestCachedImageOverSQLite(ThroughRegistry, CachedImageCases, SQLite):
    pass


class TestFailureOverSQLite(ThroughRegistry, FailureCases, SQLite):
    pass


class TestImageOverPostgreSQL(ThroughRegistry, ImageCases, PostgreSQL):
    pass


class TestListOverPostgreSQL(ThroughRegistry, ListCases, PostgreSQL):
    pass


class TestMemberOverPostgreSQL(ThroughRegistry, MemberCases, PostgreSQL):
    pass


class TestUsageOverPostgreSQL(ThroughRegistry, UsageCases, PostgreSQL):
    pass


class TestClaimsOverPostgreSQL(ThroughRegistry, ClaimCases, PostgreSQL):
    pass


class TestQuotasOverPostgreSQL(ThroughRegistry, QuotaCases, PostgreSQL):
    pass


class TestPendingOverPostgreSQL(ThroughRegistry, PendingCases, PostgreSQL):
    pass


class TestNamespaceOverPostgreSQL(ThroughRegistry, NamespaceCases, PostgreSQL):
    pass


class TestDefinitionOverPostgreSQL(ThroughRegistry, DefinitionCases, PostgreSQL):
    pass


class TestCachedImageOverPostgreSQL(ThroughRegistry, CachedImageCases, PostgreSQL):
    pass


class TestFailureOverPostgreSQL(ThroughRegistry, FailureCases, PostgreSQL):
    pass


class TestImageOverMariaDB(ThroughRegistry, ImageCases, MariaDB):
    pass


class TestListOverMariaDB(ThroughRegistry, ListCases, MariaDB):
    pass


class TestMemberOverMariaDB(ThroughRegistry, MemberCases, MariaDB):
    pass


class TestUsageOverMariaDB(ThroughRegistry, UsageCases, MariaDB):
    pass


class TestClaimsOverMariaDB(ThroughRegistry, ClaimCases, MariaDB):
    pass


class TestQuotasOverMariaDB(ThroughRegistry, QuotaCases, MariaDB):
    pass


class TestPendingOverMariaDB(ThroughRegistry, PendingCases, MariaDB):
    pass


class TestNamespaceOverMariaDB(ThroughRegistry, NamespaceCases, MariaDB):
    pass


class TestDefinitionOverMariaDB(ThroughRegistry, DefinitionCases, MariaDB):
    pass


class TestCachedImageOverMariaDB(ThroughRegistry, CachedImageCases, MariaDB):
    pass


class TestFailureOverMariaDB(ThroughRegistry, FailureCases, MariaDB):
    pass
