"""The suite over a registry: through its client, its protocol and its pipeline.

The registry stands before each of the databases.  Cases that look behind the
DAL, at schemas and statements, are the databases' own business.
"""

from keystoneauth1 import loading
from oslo_config import cfg

from glance_py import config, pipeline
from glance_py.middleware import factory_deps
from glance_py.policies.enforcer import Enforcer
from glance_py.registry import client
from glance_py.registry.server import Registry
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
from tests.functional.registry import Wire


def behind_registry(repositories, connect=lambda wire: wire):
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
        with factory_deps.providing(
            factory_deps.FactoryDependencies(
                conf, Enforcer(conf), Registry(each), images=None, cache=None, notifier=None
            )
        ):
            wires.append(Wire(pipeline.load(conf, pipeline.REGISTRY)))
    return client.remote_repositories(conf, connect(*wires))


class Remote:
    """Puts a registry between the cases and the database of the class."""

    kills_connections = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.repositories = behind_registry(cls.direct)


class TestImageOverSQLite(Remote, ImageCases, SQLite):
    pass


class TestListOverSQLite(Remote, ListCases, SQLite):
    pass


class TestMemberOverSQLite(Remote, MemberCases, SQLite):
    pass


class TestUsageOverSQLite(Remote, UsageCases, SQLite):
    pass


class TestClaimsOverSQLite(Remote, ClaimCases, SQLite):
    pass


class TestQuotasOverSQLite(Remote, QuotaCases, SQLite):
    pass


class TestPendingOverSQLite(Remote, PendingCases, SQLite):
    pass


class TestNamespaceOverSQLite(Remote, NamespaceCases, SQLite):
    pass


class TestDefinitionOverSQLite(Remote, DefinitionCases, SQLite):
    pass


class TestCachedImageOverSQLite(Remote, CachedImageCases, SQLite):
    pass


class TestFailureOverSQLite(Remote, FailureCases, SQLite):
    pass


class TestImageOverPostgreSQL(Remote, ImageCases, PostgreSQL):
    pass


class TestListOverPostgreSQL(Remote, ListCases, PostgreSQL):
    pass


class TestMemberOverPostgreSQL(Remote, MemberCases, PostgreSQL):
    pass


class TestUsageOverPostgreSQL(Remote, UsageCases, PostgreSQL):
    pass


class TestClaimsOverPostgreSQL(Remote, ClaimCases, PostgreSQL):
    pass


class TestQuotasOverPostgreSQL(Remote, QuotaCases, PostgreSQL):
    pass


class TestPendingOverPostgreSQL(Remote, PendingCases, PostgreSQL):
    pass


class TestNamespaceOverPostgreSQL(Remote, NamespaceCases, PostgreSQL):
    pass


class TestDefinitionOverPostgreSQL(Remote, DefinitionCases, PostgreSQL):
    pass


class TestCachedImageOverPostgreSQL(Remote, CachedImageCases, PostgreSQL):
    pass


class TestFailureOverPostgreSQL(Remote, FailureCases, PostgreSQL):
    pass


class TestImageOverMariaDB(Remote, ImageCases, MariaDB):
    pass


class TestListOverMariaDB(Remote, ListCases, MariaDB):
    pass


class TestMemberOverMariaDB(Remote, MemberCases, MariaDB):
    pass


class TestUsageOverMariaDB(Remote, UsageCases, MariaDB):
    pass


class TestClaimsOverMariaDB(Remote, ClaimCases, MariaDB):
    pass


class TestQuotasOverMariaDB(Remote, QuotaCases, MariaDB):
    pass


class TestPendingOverMariaDB(Remote, PendingCases, MariaDB):
    pass


class TestNamespaceOverMariaDB(Remote, NamespaceCases, MariaDB):
    pass


class TestDefinitionOverMariaDB(Remote, DefinitionCases, MariaDB):
    pass


class TestCachedImageOverMariaDB(Remote, CachedImageCases, MariaDB):
    pass


class TestFailureOverMariaDB(Remote, FailureCases, MariaDB):
    pass
