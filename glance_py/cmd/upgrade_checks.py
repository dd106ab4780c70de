"""The checks of glance-status: what prevents an upgrade, or changes behaviour after it.

Each check reads configuration files or the database, and its result says what to do.  The checks
change nothing and do not need a running service.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

from oslo_config import cfg
from oslo_policy import policy
from oslo_upgradecheck import common_checks
from oslo_upgradecheck.upgradecheck import Code, Result
from paste.deploy import loadwsgi

from glance_py import config, pipeline, policies
from glance_store_py.config import RESERVED_PREFIX

UpgradeCheck: TypeAlias = Callable[[cfg.ConfigOpts], Result]

#: Options that were removed -> what to do about a line that still sets them.
REMOVED_OPTIONS = {
    "cert_file": "TLS is terminated by a proxy; remove it",
    "key_file": "TLS is terminated by a proxy; remove it",
    "ca_file": "TLS is terminated by a proxy; remove it",
    "http_keepalive": "connections are always kept; remove it",
    "digest_algorithm": "nothing uses it; remove it",
    "owner_is_tenant": "images belong to projects; if they belonged to users, change their owners "
    "to projects first",
    "admin_role": "use the rule context_is_admin in policy.yaml",
    "location_strategy": "use the option weight of the stores",
    "enable_v1_api": "version 1 of the API was removed; remove it",
    "enable_v2_api": "version 2 of the API is always enabled; remove it",
    "enable_v1_registry": "remove it",
    "enable_v2_registry": "remove it",
    "identity_uri": "use www_authenticate_uri and auth_url: without them requests between API "
    "hosts fail",
    "auth_uri": "use www_authenticate_uri",
    "auth_host": "use auth_url",
    "pydev_worker_debug_host": "nothing uses it; remove it",
    "pydev_worker_debug_port": "nothing uses it; remove it",
}

#: Types of stores that were removed -> the scheme of their URLs.
REMOVED_STORE_TYPES = {"sheepdog": "sheepdog", "vmware": "vsphere", "gridfs": "gridfs"}

#: Number of images above which the optional indexes (``db indexes``) are recommended.
LARGE_CATALOGUE = 50_000

_HEALTHCHECK_ADVICE = """\
oslo.middleware has no filter for health checks any more. Remove healthcheck from the \
pipelines and add: [composite:glance-api-{flavor}] paste.composite_factory = \
glance_py.pipeline:root_app_factory; / = api; /healthcheck = healthcheck. And: [app:healthcheck] \
paste.app_factory = oslo_middleware:Healthcheck.app_factory"""

_ROLES_NOTE = (
    "Reading needs the role reader, which member and admin imply in a Keystone that was set up by "
    "its bootstrap command. A token with member alone is refused. Scope is always enforced. The "
    "calls that add and list locations need the role admin or service: give the users of Nova and "
    "Cinder the role service, and configure it in their section [glance]."
)

_FORMATS_NOTE = (
    "Partition tables of raw images are checked strictly. Existing images are not checked. If your "
    "image builder creates partition tables that fail a check, name the check in [image_format] "
    "gpt_safety_checks_nonfatal."
)


def check_configuration(conf: cfg.ConfigOpts) -> Result:
    """Check for values that prevent the start, for example a list without its brackets."""
    try:
        config.check(conf)
    except config.ConfigurationError as error:
        return Result(Code.FAILURE, str(error))
    return Result(Code.SUCCESS)


def check_removed_options(conf: cfg.ConfigOpts) -> Result:
    """Check for options that were removed."""
    found = [
        f"{file}: [{group}] {name}: {REMOVED_OPTIONS[name]}."
        for file, group, name, _ in _configured_lines(conf)
        if name in REMOVED_OPTIONS
    ]
    found += [
        f"{file}: [{group}] {name}: {REMOVED_OPTIONS['location_strategy']}."
        for file, group, name, _ in _configured_lines(conf)
        if group == "store_type_location_strategy"
    ]
    return Result(Code.WARNING, " ".join(found)) if found else Result(Code.SUCCESS)


def check_stores(conf: cfg.ConfigOpts) -> Result:
    """Check for stores without a driver or section, and for a missing default store."""
    backends = _last_value(conf, "DEFAULT", "enabled_backends")
    kinds = dict(pair.strip().partition(":")[::2] for pair in backends.split(",") if pair.strip())
    single = [name.strip() for name in _last_value(conf, "glance_store", "stores").split(",")]
    removed = sorted(
        {kind.strip() for kind in [*kinds.values(), *single]} & REMOVED_STORE_TYPES.keys()
    )
    if removed:
        return Result(
            Code.FAILURE,
            (
                f"The driver for {', '.join(removed)} was removed. Copy those images to another "
                f"store with the old release, for example by the import method copy-image."
            ),
        )
    if not kinds:
        return Result(
            Code.WARNING,
            (
                "There is one store, configured in [glance_store] stores. This works; [DEFAULT] "
                "enabled_backends is equivalent and supports several stores."
            ),
        )
    default = _last_value(conf, "glance_store", "default_backend")
    if default not in kinds:
        return Result(
            Code.FAILURE,
            (
                f"[glance_store] default_backend names {default or 'nothing'}; it must be one of "
                f"{', '.join(sorted(kinds))}."
            ),
        )
    reserved = [name for name in kinds if name.startswith(RESERVED_PREFIX)]
    if reserved:
        return Result(
            Code.FAILURE,
            (
                f"[DEFAULT] enabled_backends: ids may not start with {RESERVED_PREFIX}: "
                f"{', '.join(reserved)}."
            ),
        )
    groups = {group for _, group, _, _ in _configured_lines(conf)}
    bare = sorted(
        name
        for name, kind in kinds.items()
        if name not in groups and kind.strip() not in ("http", "memory")
    )
    if bare:
        return Result(
            Code.WARNING,
            (
                f"There is no section for {', '.join(bare)}: defaults are used, for example the "
                f"directory /var/lib/glance/images."
            ),
        )
    return Result(Code.SUCCESS)


def check_policy_file(conf: cfg.ConfigOpts) -> Result:
    """Check for a policy file in JSON, and for rules that the service does not use."""
    result = common_checks.check_policy_json(None, conf)  # type: ignore[arg-type]
    if result.code is not Code.SUCCESS:
        return result
    path = conf.find_file(conf.oslo_policy.policy_file)
    if path is None:
        old = conf.find_file("policy.json")
        if old is not None:
            return Result(
                Code.FAILURE,
                (
                    f"{old} is not used: [oslo_policy] policy_file is policy.yaml. Convert it with "
                    f"oslopolicy-convert-json-to-yaml."
                ),
            )
        return Result(Code.SUCCESS, _ROLES_NOTE)
    try:
        with open(path) as file:
            written = policy.parse_file_contents(file.read())
    except (OSError, ValueError) as error:
        return Result(Code.FAILURE, f"{path}: {error}")
    known = {rule.name for rule in policies.list_rules()}
    referred = " ".join(str(check) for check in written.values())
    unknown = sorted(
        name for name in written if name not in known and f"rule:{name}" not in referred
    )
    if unknown:
        return Result(
            Code.WARNING,
            (
                f"{path}: the service does not use {', '.join(unknown)}. A rule that was renamed "
                f"has no effect; 'oslopolicy-sample-generator --namespace glance' prints all names."
            ),
        )
    return Result(Code.SUCCESS, _ROLES_NOTE)


def check_paste_file(conf: cfg.ConfigOpts) -> Result:
    """Check for a health check that is a filter, an unknown flavor, and factories of Glance."""
    try:
        path = pipeline.find_paste_file(conf)
        parser = loadwsgi.ConfigLoader(path).parser
    except Exception as error:
        return Result(Code.FAILURE, f"The paste file cannot be read: {error}")
    flavor = conf.paste_deploy.flavor
    name = f"glance-api-{flavor}" if flavor else "glance-api"
    if parser.has_section("filter:healthcheck"):
        return Result(Code.FAILURE, f"{path}: " + _HEALTHCHECK_ADVICE.format(flavor=flavor or ""))
    sections = {section.partition(":")[2] for section in parser.sections()}
    if name not in sections:
        return Result(
            Code.FAILURE,
            (
                f"{path}: there is no section [composite:{name}] for [paste_deploy] flavor = "
                f"{flavor}."
            ),
        )
    foreign = sorted(
        {old for _, _, old in pipeline.aliased_factories(parser) if old.startswith("glance.")}
    )
    if foreign:
        names = "; ".join(f"{pipeline.FACTORY_ALIASES[old]} for {old}" for old in foreign)
        return Result(
            Code.WARNING,
            (
                f"{path} names factories of the original service. They work; their names in this "
                f"service are: {names}."
            ),
        )
    return Result(Code.SUCCESS)


def check_identity(conf: cfg.ConfigOpts) -> Result:
    """Check for credentials with which the service can validate tokens."""
    if "keystone" not in (conf.paste_deploy.flavor or ""):
        return Result(Code.SUCCESS)
    try:
        from keystoneauth1 import exceptions, loading
    except ImportError:
        return Result(
            Code.FAILURE,
            (
                "The flavor uses Keystone, but keystonemiddleware is not installed; install "
                "glance-py[keystone]."
            ),
        )
    group = "keystone_authtoken"
    section = _last_value(conf, group, "auth_section") or group
    kind = _last_value(conf, section, "auth_type") or _last_value(conf, section, "auth_plugin")
    if not kind and _is_in_paste_file(conf, "auth_type"):
        return Result(Code.SUCCESS)
    if not kind:
        return Result(
            Code.FAILURE,
            (
                f"[{section}] auth_type is not set: no token can be validated, and the service "
                f"does not start. Set it, for example to password, and the service's credentials."
            ),
        )

    def value(option: loading.Opt) -> str | None:
        names = [option.dest, *(old.dest for old in option.deprecated)]
        return next(filter(None, (_last_value(conf, section, name) for name in names)), None)

    try:
        loading.get_plugin_loader(kind).load_from_options_getter(value)
    except exceptions.ClientException as error:
        return Result(Code.FAILURE, f"[{section}]: {error}")
    return Result(Code.SUCCESS)


def check_image_cache(conf: cfg.ConfigOpts) -> Result:
    """Check the options that a pipeline with an image cache needs."""
    if "cach" not in (conf.paste_deploy.flavor or ""):
        return Result(Code.SUCCESS)
    if not conf.image_cache_dir:
        return Result(
            Code.WARNING,
            (
                "The flavor has an image cache, but [DEFAULT] image_cache_dir is not set: no image "
                "is cached."
            ),
        )
    if conf.image_cache_driver == "centralized_db" and not (
        conf.worker_self_reference_url or conf.public_endpoint
    ):
        return Result(
            Code.FAILURE,
            (
                "[DEFAULT] image_cache_driver = centralized_db needs worker_self_reference_url, "
                "the URL of this host. image_cache_driver = sqlite does not."
            ),
        )
    return Result(Code.SUCCESS)


def check_database(conf: cfg.ConfigOpts) -> Result:
    """Check the schema, and for locations that need attention."""
    from glance_py.db import counts, indexes, migrations
    from glance_py.db.database import open_database

    try:
        found = open_database(conf)
        phase = migrations.next_phase(found)
    except Exception as error:
        return Result(Code.FAILURE, f"The database cannot be read: {error}")
    if phase is not None:
        return Result(
            Code.WARNING,
            (
                f"The next step is 'glance-manage db {phase}'; 'glance-manage db sync' does all "
                f"steps while no service runs."
            ),
        )
    for kind, scheme in REMOVED_STORE_TYPES.items():
        if number := counts.count_locations_like(found, f"{scheme}://%"):
            return Result(
                Code.FAILURE,
                (
                    f"{number} images are in a store of the type {kind}, whose driver was removed. "
                    f"Copy them to another store with the old release."
                ),
            )
    if number := counts.count_locations_like(found, "s3%://%:%@%"):
        return Result(
            Code.WARNING,
            (
                f"{number} URLs of S3 objects contain keys. The service uses the keys in the "
                f"store's section instead, but users who can read the database can read them. "
                f"Replace the keys at the provider and in the section, so that those in the "
                f"database become invalid."
            ),
        )
    if counts.has_more_images_than(found, LARGE_CATALOGUE) and any(
        each.state is not indexes.IndexState.PRESENT for each in indexes.inspect_indexes(found)
    ):
        return Result(
            Code.SUCCESS,
            (
                f"There are more than {LARGE_CATALOGUE} images. 'glance-manage db indexes' shows "
                f"indexes for fast lists by name, property and tag, and --add builds them."
            ),
        )
    return Result(Code.SUCCESS)


def check_image_formats(conf: cfg.ConfigOpts) -> Result:
    """Check the options about data that is refused and was accepted before."""
    if not conf.image_format.require_image_format_match:
        return Result(
            Code.WARNING,
            (
                "[image_format] require_image_format_match is off: data of another format than "
                "declared is accepted, which enabled attacks on hypervisors (OSSA-2024-001)."
            ),
        )
    return Result(Code.SUCCESS, _FORMATS_NOTE)


#: Title and check, in the order in which they are printed.
CHECKS: tuple[tuple[str, UpgradeCheck], ...] = (
    ("Configuration values", check_configuration),
    ("Removed options", check_removed_options),
    ("Stores", check_stores),
    ("Policy file", check_policy_file),
    ("Paste file", check_paste_file),
    ("Identity", check_identity),
    ("Image cache", check_image_cache),
    ("Database", check_database),
    ("Image formats", check_image_formats),
)


def _configured_lines(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, str, str]]:
    """(file, group, name, value) of each option in the configuration files."""
    for path in _configuration_files(conf):
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(path, sections).parse()
        for group, values in sections.items():
            for name, several in values.items():
                yield path, group, name, several[-1]


def _configuration_files(conf: cfg.ConfigOpts) -> Iterator[str]:
    yield from conf.config_file or ()
    for directory in conf.config_dir or ():
        if os.path.isdir(directory):
            yield from sorted(
                entry.path for entry in os.scandir(directory) if entry.name.endswith(".conf")
            )


def _is_in_paste_file(conf: cfg.ConfigOpts, option: str) -> bool:
    try:
        parser = loadwsgi.ConfigLoader(pipeline.find_paste_file(conf)).parser
    except Exception:  # check_paste_file reports it
        return False
    return any(parser.has_option(section, option) for section in parser.sections())


def _last_value(conf: cfg.ConfigOpts, group: str, name: str) -> str:
    """The value in the last file that sets an option; "" when none does."""
    values = [value for _, g, n, value in _configured_lines(conf) if (g, n) == (group, name)]
    return values[-1] if values else ""
