"""From configuration files to a ready ConfigOpts that is passed around.

Registers the options of the service and of the libraries it uses, reads the
files and refuses wrong values at the start, naming section and option.  No
other module knows where files lie, and none but the entry points touches the
process-wide ``cfg.CONF``.
"""

from __future__ import annotations

import hashlib
import logging as stdlib_logging
import os
import urllib.parse
from collections.abc import Iterable, Sequence
from importlib import metadata, resources
from typing import Any

from oslo_config import cfg
from oslo_db import options as db_options
from oslo_log import log as logging
from oslo_policy import opts as policy_options

from glance_py import options
from glance_py.importing import options as import_options
from glance_py.registry import options as registry_options

CONFIG_DIR = "/etc/glance"

#: Read in this order, the later wins, when no --config-file names others.
DEFAULT_FILES = ("glance-image-import.conf", "glance-api.conf")

#: What a registry reads instead.
REGISTRY_FILE = "glance-registry.conf"


_STAND_ALONE = "--stand-alone"
_STAND_ALONE_OPTION = cfg.BoolOpt(
    "stand-alone",
    default=False,
    help="Use the built-in configuration for trials instead of any file: no authentication, "
    "everybody is an administrator, everything is kept in $GLANCE_STATE_DIR or ./var.",
)


class ConfigurationError(Exception):
    """A wrong configuration; the text names file, section or option and says what to do."""


class ConfigurationNotFound(ConfigurationError):
    """There is no configuration file, and none was named."""


def register(conf: cfg.ConfigOpts) -> None:
    """Register the service's options and those of its libraries on ``conf``.

    Harmless when called again.  Store sections are registered by the storage
    library, which knows the drivers.
    """
    for group, opts in options.GROUPS.items():
        conf.register_opts(opts, group=None if group == "DEFAULT" else group)
    logging.register_options(conf)
    db_options.set_defaults(conf)
    policy_options.set_defaults(conf)


OptionGroups = list[tuple[str | None, list[cfg.Opt]]]


def list_opts() -> OptionGroups:
    """(group, options) pairs for oslo-config-generator and oslo-config-validator."""
    return [
        (None if group == "DEFAULT" else group, list(opts))
        for group, opts in options.GROUPS.items()
    ]


def list_identity_opts() -> OptionGroups:
    """The same for options of libraries that files hold and no library lists.

    keystoneauth reads them; what old files say about scopes is read by nobody.
    """
    unlisted: OptionGroups = [
        (
            "oslo_policy",
            [
                cfg.BoolOpt(
                    "enforce_scope",
                    default=True,
                    deprecated_for_removal=True,
                    deprecated_reason="The scope of a token is always enforced.",
                    help="Ignored: the scope of a token is always enforced.",
                )
            ],
        )
    ]
    try:
        from keystoneauth1 import loading
    except ImportError:  # comes with glance-py[keystone] and glance-py[limits]
        return unlisted
    credentials = loading.get_auth_common_conf_options()
    auth_options = [
        *credentials,
        *loading.get_session_conf_options(),
        *loading.get_auth_plugin_conf_options("password"),
    ]
    cfg.set_defaults(auth_options, timeout=registry_options.KEYSTONE_TIMEOUT)
    return [
        *unlisted,
        ("oslo_limit", credentials),
        (registry_options.SERVICE_USER_GROUP, auth_options),
    ]


def list_image_import_opts() -> OptionGroups:
    """The part of :func:`list_opts` that usually has a file of its own."""
    return [
        ("import_filtering_opts", list(options.IMPORT_FILTERING)),
        *((group, list(opts)) for group, opts in import_options.GROUPS.items()),
    ]


def list_cache_opts() -> OptionGroups:
    """The same for the tools of the image cache."""
    return [
        (
            None,
            _options_starting_with("image_cache_", "worker_self_reference_url", "enabled_backends"),
        )
    ]


def list_manage_opts() -> OptionGroups:
    """The same for glance-manage."""
    return [(None, list(options.METADEF))]


def list_registry_opts() -> OptionGroups:
    """The same for glance-registry."""
    port = cfg.PortOpt(
        "bind_port",
        default=registry_options.DEFAULT_PORT,
        help="TCP port that the glance-registry command listens on.",
    )
    server = [port if opt.dest == port.dest else opt for opt in options.SERVER]
    return [
        (
            None,
            [
                *server,
                *_options_starting_with(
                    "registry_shared_secret",
                    "metadata_encryption_key",
                    "allow_anonymous_access",
                    "max_request_id_length",
                ),
            ],
        ),
        ("paste_deploy", list(options.PASTE_DEPLOY)),
    ]


def list_scrubber_opts() -> OptionGroups:
    """The same for glance-scrubber."""
    return [(None, _options_starting_with("scrub_", "delayed_delete", "enabled_backends"))]


def _options_starting_with(*prefixes: str) -> list[cfg.Opt]:
    return [opt for opt in options.GROUPS["DEFAULT"] if opt.dest.startswith(prefixes)]


def load(
    argv: Sequence[str] | None = None,
    default_files: Sequence[str] | None = None,
    conf: cfg.ConfigOpts | None = None,
    prog: str = "glance-api",
    tool_file: str | None = None,
    **help_texts: Any,
) -> cfg.ConfigOpts:
    """Read the configuration and return it, checked.

    :param argv: command line (``--config-file``, ``--config-dir``,
        ``--stand-alone`` and those of oslo.log); None or empty for a WSGI
        server's process, which therefore never is stand-alone.
    :param default_files: files used when ``argv`` names none; None: those of
        :func:`default_config_files`.
    :param conf: the object to fill; entry points pass ``cfg.CONF``.
    :param prog: the name of the program, for its help.
    :param tool_file: see :func:`default_config_files`.
    :param help_texts: ``description`` and ``epilog`` of its help.
    :raises ConfigurationError: there is no file, one cannot be read or a value
        is wrong.
    """
    conf = cfg.ConfigOpts() if conf is None else conf
    register(conf)
    conf.register_cli_opt(_STAND_ALONE_OPTION)
    argv = list(argv or ())
    stand_alone = _STAND_ALONE in argv
    files: list[str] = []
    problem: ConfigurationError | None = None
    try:
        files = (
            [_stand_alone_file(conf, argv)]
            if stand_alone
            else config_files(argv, default_files, tool_file)
        )
    except ConfigurationError as error:
        # Wrong words and --help come first: they end the program.
        problem = error
    _read(
        conf,
        argv,
        prog=prog,
        default_config_files=files,
        default_config_dirs=[] if stand_alone else _default_dirs(prog),
        **help_texts,
    )
    if problem is not None:
        raise problem
    if conf.stand_alone and not stand_alone:
        # An abbreviation, or a line in a file.
        raise ConfigurationError(f"{_STAND_ALONE} is for the command line, written in full.")
    check(conf)
    return conf


def _read(conf: cfg.ConfigOpts, argv: Sequence[str], **options_for_library: Any) -> None:
    """Have the library read the files.

    :raises ConfigurationError: it cannot.
    """
    try:
        conf(
            list(argv),
            project="glance",
            version=version(),
            validate_default_values=True,
            **options_for_library,
        )
    except (cfg.ConfigFilesNotFoundError, cfg.ConfigDirNotFoundError) as error:
        raise ConfigurationError(
            f"{error}. Check --config-file and OS_GLANCE_CONFIG_DIR."
        ) from None
    except cfg.ConfigFilesPermissionDeniedError as error:
        raise ConfigurationError(f"{error}. The service's user must be able to read it.") from None
    except (cfg.ConfigFileValueError, cfg.ConfigFileParseError) as error:
        raise ConfigurationError(_with_hint(str(error))) from None
    for directory in conf.config_dir or ():
        try:
            # The library takes a directory that cannot be read for an empty one.
            os.listdir(directory)
        except OSError as error:
            raise ConfigurationError(_unreadable_message(directory, error)) from None


def config_files(
    argv: Sequence[str], default_files: Sequence[str] | None = None, tool_file: str | None = None
) -> list[str]:
    """The files to read unless ``argv`` names some; see :func:`load`.

    :raises ConfigurationError: there are none, or they cannot be looked at.
    """
    named = {word.partition("=")[0] for word in argv}
    if default_files is not None:
        files = list(default_files)
    elif "--config-file" in named:
        files = []
    else:
        try:
            files = default_config_files(tool_file=tool_file)
        except ConfigurationNotFound:
            if "--config-dir" not in named:
                raise
            files = []
    if (
        not files
        and default_files is not None
        and named.isdisjoint(("--config-file", "--config-dir"))
    ):
        raise ConfigurationNotFound("There is no configuration file: name one with --config-file.")
    return files


def load_registry(argv: Sequence[str], conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    """The same for a registry, which has a file of its own and is never stand-alone.

    :raises ConfigurationError: there is none, or it is wrong.
    """
    register(conf)
    conf.set_default("bind_port", registry_options.DEFAULT_PORT)
    path = os.path.join(_configuration_directory(os.environ), REGISTRY_FILE)
    if _STAND_ALONE in argv:
        raise ConfigurationError(f"A registry cannot be started with {_STAND_ALONE}.")
    found = [path] if _exists(path) else []
    if not found and not any(word.startswith("--config-") for word in argv):
        raise ConfigurationError(f"There is no {path}: name the configuration with --config-file.")
    return load(argv, found, conf)


def _default_dirs(prog: str) -> list[str]:
    """Every program reads the directories of the service, and one of its own name."""
    return list(
        dict.fromkeys(
            [*cfg.find_config_dirs("glance", "glance-api"), *cfg.find_config_dirs("glance", prog)]
        )
    )


def version() -> str:
    """Version of the installed package, "0" in a bare source tree."""
    try:
        return metadata.version("glance_py")
    except metadata.PackageNotFoundError:
        return "0"


def default_config_files(
    environ: os._Environ | dict = os.environ, tool_file: str | None = None
) -> list[str]:
    """Files that are read when the command line names none; only existing ones.

    ``OS_GLANCE_CONFIG_DIR`` replaces /etc/glance.  ``OS_GLANCE_CONFIG_FILES``
    names other files, divided by semicolons, relative to that directory; one
    that does not exist is an error then.

    :param tool_file: one more, the file of a tool; it alone is enough.
    :raises ConfigurationNotFound: neither this file nor that of the service exists,
        and no directory of oslo.config has any.
    :raises ConfigurationError: it cannot be told, because the directory may not
        be entered.
    """
    directory = _configuration_directory(environ)
    named = [name.strip() for name in environ.get("OS_GLANCE_CONFIG_FILES", "").split(";")]
    named = [os.path.join(directory, name) for name in named if name]
    if named:
        return named
    names = [*DEFAULT_FILES, *([tool_file] if tool_file else [])]
    found = [name for name in names if _exists(os.path.join(directory, name))]
    # The file about imports alone says nothing about who may do what.
    if set(found) <= {DEFAULT_FILES[0]} and not (directory == CONFIG_DIR and _dirs_have_files()):
        raise ConfigurationNotFound(
            f"There is no {DEFAULT_FILES[-1]} in {directory}. Name the configuration with "
            f"--config-file or OS_GLANCE_CONFIG_DIR. For trials, glance-api {_STAND_ALONE} does "
            "without one: everybody is an administrator then."
        )
    return [os.path.join(directory, name) for name in found]


def _exists(path: str) -> bool:
    """Is there such a file?

    :raises ConfigurationError: this user may not know.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigurationError(_unreadable_message(path, error)) from None
    return True


def _unreadable_message(path: str, error: OSError) -> str:
    return (
        f"{path}: {error.strerror}. The service's user must be able to enter the directory "
        "and to read what is in it."
    )


def _dirs_have_files() -> bool:
    for directory in _default_dirs("glance-api"):
        try:
            if any(name.endswith(".conf") for name in os.listdir(directory)):
                return True
        except OSError as error:
            raise ConfigurationError(_unreadable_message(directory, error)) from None
    return False


def _configuration_directory(environ: os._Environ | dict) -> str:
    return environ.get("OS_GLANCE_CONFIG_DIR", "").strip() or CONFIG_DIR


def setup_logging(conf: cfg.ConfigOpts) -> None:
    """Route log records as the options of oslo.log say; once per process."""
    logging.setup(conf, "glance", version=version())
    # Plain loggers of this service and of the storage library write through it, too.
    for name in ("glance_py", "glance_store_py"):
        stdlib_logging.getLogger(name).setLevel(
            stdlib_logging.DEBUG if conf.debug else stdlib_logging.NOTSET
        )


def check(conf: cfg.ConfigOpts) -> None:
    """Look at every value once, so that a wrong one stops the start and not a request.

    :raises ConfigurationError: naming section and option.
    """
    for group, opts in options.GROUPS.items():
        _check_values(conf, group, opts)
    known = sorted(hashlib.algorithms_available)
    if conf.hashing_algorithm not in known:
        raise ConfigurationError(
            f"[DEFAULT] hashing_algorithm: this Python has no algorithm "
            f"{conf.hashing_algorithm!r}; known are {', '.join(known)}."
        )
    scheme = urllib.parse.urlsplit(conf.node_staging_uri).scheme
    if not conf.enabled_backends and scheme != "file":
        raise ConfigurationError(
            "[DEFAULT] node_staging_uri: only file:// is supported, for example "
            "file:///var/lib/glance/staging."
        )


def _check_values(conf: cfg.ConfigOpts, group: str, opts: Iterable[cfg.Opt]) -> None:
    values = conf if group == "DEFAULT" else conf[group]
    for opt in opts:
        try:
            getattr(values, opt.dest)
        except (cfg.ConfigFileValueError, ValueError) as error:
            raise ConfigurationError(_with_hint(f"[{group}] {opt.name}: {error}")) from None


def _with_hint(text: str) -> str:
    """The library's sentence, and what to do where that is not obvious."""
    if 'Value should start with "["' in text or 'Value should end with "]"' in text:
        text += ". The list of this option is written in square brackets: [first,second]"
    return text


def _stand_alone_file(conf: cfg.ConfigOpts, argv: Sequence[str]) -> str:
    """Path of the configuration that ``--stand-alone`` asks for.

    Its paths start with ``$state_dir``: ``GLANCE_STATE_DIR`` or ./var.

    :raises ConfigurationError: ``argv`` names files as well.
    """
    if any(word.startswith("--config-") for word in argv):
        raise ConfigurationError(f"{_STAND_ALONE} and --config-file exclude each other.")
    state_dir = os.path.abspath(os.environ.get("GLANCE_STATE_DIR") or "var")
    conf.register_opt(
        cfg.StrOpt(
            "state_dir",
            default=state_dir,
            help="Where the stand-alone configuration keeps everything.",
        )
    )
    os.makedirs(state_dir, exist_ok=True)
    return str(resources.files("glance_py") / "etc" / "stand-alone.conf")


def is_stand_alone(conf: cfg.ConfigOpts) -> bool:
    """Was the built-in stand-alone configuration used?"""
    return "state_dir" in conf
