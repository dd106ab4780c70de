"""Finds and reads the configuration files, and checks their values.

The result is a ConfigOpts with the options of the service and of its libraries.  A wrong value
stops the start with a message that names section and option.  No other module knows the paths of
configuration files; only the entry points use the process-wide ``cfg.CONF``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging as stdlib_logging
import os
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata, resources
from typing import TypeAlias

from oslo_config import cfg
from oslo_db import options as db_options
from oslo_log import log as logging
from oslo_policy import opts as policy_options

from glance_py import options
from glance_py.importing import options as import_options
from glance_py.registry import options as registry_options

CONFIG_DIR = "/etc/glance"

#: The files that are read when there is no --config-file; values of the later one win.
DEFAULT_FILES = ("glance-image-import.conf", "glance-api.conf")

#: The file that a registry reads instead.
REGISTRY_FILE = "glance-registry.conf"

_STAND_ALONE = "--stand-alone"
_STAND_ALONE_OPTION = cfg.BoolOpt(
    "stand-alone",
    default=False,
    help="Use the built-in configuration for trials instead of a file: no authentication, every "
    "caller is an administrator, all data is kept in $GLANCE_STATE_DIR or ./var.",
)


class ConfigurationError(Exception):
    """The configuration cannot be used; the message names the file or option and the remedy."""


class ConfigurationNotFound(ConfigurationError):
    """No configuration file was found or named."""


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options of the service and of its libraries on ``conf``.

    May be called several times.  The storage library registers the sections of stores, because
    they depend on the drivers.
    """
    for group, opts in options.GROUPS.items():
        conf.register_opts(opts, group=None if group == "DEFAULT" else group)
    logging.register_options(conf)
    db_options.set_defaults(conf)
    policy_options.set_defaults(conf)


#: Sections and their options, as oslo-config-generator and oslo-config-validator expect them; None
#: is [DEFAULT].
OptionGroups: TypeAlias = list[tuple[str | None, list[cfg.Opt]]]


def list_opts() -> OptionGroups:
    """The options of the service itself; entry point ``glance.api`` of oslo.config.opts."""
    return [
        (None if group == "DEFAULT" else group, list(opts))
        for group, opts in options.GROUPS.items()
    ]


def list_identity_opts() -> OptionGroups:
    """The options in our files that no library lists itself: keystoneauth's, and obsolete ones."""
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
    """The part of :func:`list_opts` in ``glance-image-import.conf``."""
    return [
        ("import_filtering_opts", list(options.IMPORT_FILTERING)),
        *((group, list(opts)) for group, opts in import_options.GROUPS.items()),
    ]


def list_cache_opts() -> OptionGroups:
    """The options in ``glance-cache.conf``, for the commands about the image cache."""
    return [
        (
            None,
            _options_starting_with("image_cache_", "worker_self_reference_url", "enabled_backends"),
        )
    ]


def list_manage_opts() -> OptionGroups:
    """The options in ``glance-manage.conf``."""
    return [(None, list(options.METADEF))]


def list_registry_opts() -> OptionGroups:
    """The options in ``glance-registry.conf``."""
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
    """The options in ``glance-scrubber.conf``."""
    return [(None, _options_starting_with("scrub_", "delayed_delete", "enabled_backends"))]


def _options_starting_with(*prefixes: str) -> list[cfg.Opt]:
    return [opt for opt in options.GROUPS["DEFAULT"] if opt.dest.startswith(prefixes)]


def load(
    argv: Sequence[str] | None = None,
    default_files: Sequence[str] | None = None,
    conf: cfg.ConfigOpts | None = None,
    prog: str = "glance-api",
    tool_file: str | None = None,
    description: str | None = None,
    epilog: str | None = None,
) -> cfg.ConfigOpts:
    """Read and check the configuration.

    :param argv: the arguments of the command: ``--config-file``, ``--config-dir``,
        ``--stand-alone`` and those of oslo.log; None or empty in a process of a WSGI server,
        which therefore cannot be stand-alone.
    :param default_files: the files to read when ``argv`` names none; None for those of
        :func:`default_config_files`.
    :param conf: the object that reads the files and is returned; entry points pass ``cfg.CONF``.
    :param prog: the name of the command.
    :param tool_file: see :func:`default_config_files`.
    :param description: printed by --help before the options.
    :param epilog: printed by --help after the options.
    :raises ConfigurationError: there is no file, a file cannot be read or a value is wrong.
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
        # Raised after the arguments were parsed: wrong arguments and --help end the process first.
        problem = error
    with _translated_errors():
        conf(
            argv,
            project="glance",
            prog=prog,
            version=version(),
            default_config_files=files,
            default_config_dirs=[] if stand_alone else _default_dirs(prog),
            validate_default_values=True,
            description=description,
            epilog=epilog,
        )
    _check_directories(conf)
    if problem is not None:
        raise problem
    if conf.stand_alone and not stand_alone:
        # It was abbreviated, or set in a file.
        raise ConfigurationError(
            f"{_STAND_ALONE} must be given as an argument and cannot be abbreviated."
        )
    check(conf)
    return conf


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Translates the exceptions of oslo.config.

    :raises ConfigurationError: instead of them.
    """
    try:
        yield
    except (cfg.ConfigFilesNotFoundError, cfg.ConfigDirNotFoundError) as error:
        raise ConfigurationError(
            f"{error}. Check --config-file and OS_GLANCE_CONFIG_DIR."
        ) from None
    except cfg.ConfigFilesPermissionDeniedError as error:
        raise ConfigurationError(f"{error}. The service's user must be able to read it.") from None
    except (cfg.ConfigFileValueError, cfg.ConfigFileParseError) as error:
        raise ConfigurationError(_with_hint(str(error))) from None


def _check_directories(conf: cfg.ConfigOpts) -> None:
    """:raises ConfigurationError: a directory of configuration files cannot be read."""
    for directory in conf.config_dir or ():
        try:
            os.listdir(directory)  # oslo.config treats an unreadable directory like an empty one
        except OSError as error:
            raise ConfigurationError(_unreadable_message(directory, error)) from None


def config_files(
    argv: Sequence[str], default_files: Sequence[str] | None = None, tool_file: str | None = None
) -> list[str]:
    """The files to read when ``argv`` names none; see :func:`load`.

    :raises ConfigurationError: there are none, or the directory cannot be read.
    """
    named = {argument.partition("=")[0] for argument in argv}
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
    """:func:`load` for a registry, which has its own file and cannot be stand-alone.

    :raises ConfigurationError: there is no file, a file cannot be read or a value is wrong.
    """
    register(conf)
    conf.set_default("bind_port", registry_options.DEFAULT_PORT)
    path = os.path.join(_configuration_directory(os.environ), REGISTRY_FILE)
    if _STAND_ALONE in argv:
        raise ConfigurationError(f"A registry cannot be started with {_STAND_ALONE}.")
    found = [path] if _exists(path) else []
    if not found and not any(each.startswith("--config-") for each in argv):
        raise ConfigurationError(f"There is no {path}: name the configuration with --config-file.")
    return load(argv, found, conf)


def _default_dirs(prog: str) -> list[str]:
    """The directories that oslo.config reads for the service and for the command ``prog``."""
    return list(
        dict.fromkeys(
            [*cfg.find_config_dirs("glance", "glance-api"), *cfg.find_config_dirs("glance", prog)]
        )
    )


def version() -> str:
    """The version of the installed package; "0" when the source tree is not installed."""
    try:
        return metadata.version("glance_py")
    except metadata.PackageNotFoundError:
        return "0"


def default_config_files(
    environ: Mapping[str, str] = os.environ, tool_file: str | None = None
) -> list[str]:
    """The existing files that are read when the arguments name none.

    ``OS_GLANCE_CONFIG_DIR`` replaces /etc/glance.  ``OS_GLANCE_CONFIG_FILES`` names other files,
    separated by semicolons and relative to that directory; these are returned whether they exist
    or not, so that a missing one is an error.

    :param tool_file: the name of another file, of one command; it suffices alone.
    :raises ConfigurationNotFound: neither this file nor that of the service exists, nor any file
        in the directories of oslo.config.
    :raises ConfigurationError: the directory cannot be read.
    """
    directory = _configuration_directory(environ)
    named = [name.strip() for name in environ.get("OS_GLANCE_CONFIG_FILES", "").split(";")]
    named = [os.path.join(directory, name) for name in named if name]
    if named:
        return named
    names = [*DEFAULT_FILES, *([tool_file] if tool_file else [])]
    found = [name for name in names if _exists(os.path.join(directory, name))]
    # The file about imports alone has no section about authentication.
    if set(found) <= {DEFAULT_FILES[0]} and not (directory == CONFIG_DIR and _dirs_have_files()):
        raise ConfigurationNotFound(
            f"There is no {DEFAULT_FILES[-1]} in {directory}. Name the configuration with "
            f"--config-file or OS_GLANCE_CONFIG_DIR. For trials, glance-api {_STAND_ALONE} needs "
            "none; every caller is an administrator then."
        )
    return [os.path.join(directory, name) for name in found]


def _exists(path: str) -> bool:
    """:raises ConfigurationError: this user may not enter the directory of ``path``."""
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


def _configuration_directory(environ: Mapping[str, str]) -> str:
    return environ.get("OS_GLANCE_CONFIG_DIR", "").strip() or CONFIG_DIR


def setup_logging(conf: cfg.ConfigOpts) -> None:
    """Configure logging by the options of oslo.log; once per process."""
    logging.setup(conf, "glance", version=version())
    # oslo.log sets the level of the loggers below "glance" only.
    for name in ("glance_py", "glance_store_py"):
        stdlib_logging.getLogger(name).setLevel(
            stdlib_logging.DEBUG if conf.debug else stdlib_logging.NOTSET
        )


def check(conf: cfg.ConfigOpts) -> None:
    """Read every value of the service's options, so that a wrong one stops the start.

    :raises ConfigurationError: a value is wrong; the message names section and option.
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
    """The message of oslo.config, with an example where it does not show the syntax."""
    if 'Value should start with "["' in text or 'Value should end with "]"' in text:
        text += ". The list of this option is written in square brackets: [first,second]"
    return text


def _stand_alone_file(conf: cfg.ConfigOpts, argv: Sequence[str]) -> str:
    """The path of the configuration for ``--stand-alone``.

    Registers the option ``state_dir``, with which the paths in the file start, and creates that
    directory: ``GLANCE_STATE_DIR`` or ./var.

    :raises ConfigurationError: ``argv`` names files, too.
    """
    if any(argument.startswith("--config-") for argument in argv):
        raise ConfigurationError(f"{_STAND_ALONE} and --config-file exclude each other.")
    state_dir = os.path.abspath(os.environ.get("GLANCE_STATE_DIR") or "var")
    conf.register_opt(
        cfg.StrOpt(
            "state_dir",
            default=state_dir,
            help="Directory for the database and the data of the stand-alone configuration.",
        )
    )
    os.makedirs(state_dir, exist_ok=True)
    return str(resources.files("glance_py") / "etc" / "stand-alone.conf")


def is_stand_alone(conf: cfg.ConfigOpts) -> bool:
    """True when ``conf`` has read the built-in configuration for ``--stand-alone``."""
    return "state_dir" in conf
