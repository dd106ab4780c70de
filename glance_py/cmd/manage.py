"""The command glance-manage: maintains the database and checks the stores.

This module has the parser, and the two commands that print what this release contains.  It never
changes the data of images, except that ``store check --delete-orphans`` removes orphaned objects.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from oslo_config import cfg

from glance_py import config
from glance_py.cmd import database, indexes, metadefs, store_check
from glance_py.db.database import open_database
from glance_py.db.errors import to_domain
from glance_py.db.timeouts import MAINTENANCE
from glance_py.domain import errors

if TYPE_CHECKING:
    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

LOG = logging.getLogger(__name__)

_DESCRIPTION = (
    "Maintains the database and the stores of the Image service. Options come before "
    "the command: glance-manage --config-file FILE db sync."
)
_EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong arguments. 'db check': 0 up to date, 3, 4 and 5 if "
    "expand, migrate and contract are next."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    :param argv: its arguments; None for those of the process.
    :returns: the exit code; ``db check`` and ``store check`` have several.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    conf = cfg.ConfigOpts()
    conf.register_cli_opt(
        cfg.SubCommandOpt(
            "command",
            title="Commands",
            handler=_add_commands,
            help="Each command has a --help of its own.",
        )
    )
    try:
        config.load(
            argv,
            conf=conf,
            prog="glance-manage",
            tool_file="glance-manage.conf",
            description=_DESCRIPTION,
            epilog=_EXIT_CODES,
        )
        config.setup_logging(conf)
        # alembic logs the import of each of its parts at INFO, the level of its upgrades.
        logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
        run: Callable[[cfg.ConfigOpts, Any], int | None] = conf.command.run
        return run(conf, conf.command) or 0
    except (config.ConfigurationError, errors.GlanceError, ValueError) as error:
        return _print_error(error)
    except Exception as error:
        from glance_py.db.migrations import MigrationError

        translated = to_domain(error)
        if isinstance(translated, (MigrationError, errors.GlanceError)):
            return _print_error(translated)
        # With a log file, the log is not printed on the terminal.
        LOG.exception("glance-manage failed")
        return _print_error(
            RuntimeError(f"unexpected {type(error).__name__}; the log has the traceback.")
        )


def _print_error(error: Exception) -> int:
    print(f"glance-manage: {error}", file=sys.stderr)
    return 1


# --- Commands --------------------------------------------------------------------------------


def _layers(conf: cfg.ConfigOpts, options: object) -> None:
    """Print the layers that a request passes, outermost first, and their operations."""
    from glance_py import gateway

    for noun, layers in gateway.STACKS.items():
        print(f"{noun}:")
        for layer in layers:
            print(f"  {layer.__name__:<28} {' '.join(layer.overrides())}")


def _openapi(conf: cfg.ConfigOpts, options: object) -> None:
    """Print the API of this service as an OpenAPI 3.1 document in JSON."""
    from glance_py.http.routes import ROUTES
    from glance_py.middleware.versions import enabled_versions
    from glance_py.settings import Settings
    from glance_py.wire.dump import dumps
    from glance_py.wire.image import image_resource
    from glance_py.wire.openapi import openapi

    settings = Settings.from_conf(conf)
    image = image_resource(settings.formats, settings.schema_image_file)
    print(dumps(openapi(enabled_versions(settings)[0], image, ROUTES)).decode())


# --- Parser ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class DatabaseCommand:
    """A command ``db NAME``.

    run
        Takes the database and the arguments; its docstring is the help text.
    add_arguments
        Adds its arguments to the parser.
    arguments
        The names of those that are passed to ``run``, by keyword.
    has_legacy_name
        True when it can also be called ``db_NAME``.
    """

    run: Callable[..., int | None]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    arguments: tuple[str, ...] = ()
    has_legacy_name: bool = True


def _add_revision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--version",
        dest="revision",
        metavar="REVISION",
        help="a revision as printed by 'db version'",
    )
    parser.add_argument(
        "revision",
        nargs="?",
        default=argparse.SUPPRESS,
        metavar="REVISION",
        help="the same without --version",
    )


def _add_ignored_version(parser: argparse.ArgumentParser) -> None:
    """Scripts for old releases name a version; it is ignored, because only the newest is useful."""
    parser.add_argument("version", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--version", dest="version", help=argparse.SUPPRESS)


def _add_purge(default_age_in_days: int) -> Callable[[argparse.ArgumentParser], None]:
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--age_in_days",
            type=int,
            default=default_age_in_days,
            metavar="DAYS",
            help="only rows that were marked deleted before that; default %(default)s",
        )
        parser.add_argument(
            "--max_rows",
            type=int,
            default=100,
            metavar="ROWS",
            help="most rows of each table; default %(default)s, -1 for no limit",
        )

    return add_arguments


_PURGE_ARGUMENTS = ("age_in_days", "max_rows")
_DATABASE_COMMANDS: Mapping[str, DatabaseCommand] = {
    "version": DatabaseCommand(database.version),
    "check": DatabaseCommand(database.check),
    "sync": DatabaseCommand(database.sync, _add_ignored_version),
    "upgrade": DatabaseCommand(database.upgrade, _add_revision, ("revision",)),
    "expand": DatabaseCommand(database.expand),
    "migrate": DatabaseCommand(database.migrate),
    "contract": DatabaseCommand(database.contract),
    "version_control": DatabaseCommand(database.version_control, _add_revision, ("revision",)),
    "purge": DatabaseCommand(
        database.purge, _add_purge(30), _PURGE_ARGUMENTS, has_legacy_name=False
    ),
    "purge_images_table": DatabaseCommand(
        database.purge_images_table, _add_purge(180), _PURGE_ARGUMENTS, has_legacy_name=False
    ),
    "indexes": DatabaseCommand(
        indexes.run, indexes.add_arguments, indexes.ARGUMENTS, has_legacy_name=False
    ),
}


def _add_commands(subparsers: Subparsers) -> None:
    """Add all commands; called by oslo.config."""
    group = subparsers.add_parser(
        "db", help="maintain the database", description="Maintain the database."
    )
    actions = group.add_subparsers(metavar="ACTION", required=True, title="Actions")
    for name, command in _DATABASE_COMMANDS.items():
        _add_database_command(actions, name, command)
        if command.has_legacy_name:
            _add_database_command(subparsers, f"db_{name}", command, is_legacy=True)
    for name in metadefs.COMMANDS:
        _add_metadef_command(actions, name, name)
        _add_metadef_command(subparsers, f"db_{name}", name, is_legacy=True)
    group = subparsers.add_parser("store", help="check the stores", description="Check the stores.")
    actions = group.add_subparsers(metavar="ACTION", required=True, title="Actions")
    for parsers, name in ((actions, "check"), (subparsers, "fsck")):
        parser = _add_parser(parsers, name, store_check.check)
        store_check.add_arguments(parser)
        parser.set_defaults(run=_run_store_check)
    for name, function in (("layers", _layers), ("openapi", _openapi)):
        _add_parser(subparsers, name, function).set_defaults(run=function)


def _add_parser(
    parsers: Subparsers, name: str, function: Callable[..., object], is_legacy: bool = False
) -> argparse.ArgumentParser:
    """A parser whose help is the docstring of ``function``; a legacy name is not listed."""
    text = inspect.cleandoc(function.__doc__ or "")
    listed: dict[str, Any] = {} if is_legacy else {"help": text.partition("\n")[0].rstrip(".")}
    return parsers.add_parser(
        name,
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **listed,
    )


def _add_database_command(
    parsers: Subparsers, name: str, command: DatabaseCommand, is_legacy: bool = False
) -> None:
    parser = _add_parser(parsers, name, command.run, is_legacy)
    command.add_arguments(parser)

    def run(conf: cfg.ConfigOpts, options: Any) -> int | None:
        arguments = {name: getattr(options, name) for name in command.arguments}
        return command.run(open_database(conf, MAINTENANCE), **arguments)

    parser.set_defaults(run=run)


def _add_metadef_command(
    parsers: Subparsers, command_name: str, name: str, is_legacy: bool = False
) -> None:
    command = metadefs.COMMANDS[name]
    parser = _add_parser(parsers, command_name, command, is_legacy)
    metadefs.add_arguments(parser, name, is_legacy)

    def run(conf: cfg.ConfigOpts, options: Any) -> int | None:
        arguments = metadefs.arguments(conf, name, options)
        return command(open_database(conf, MAINTENANCE), arguments)

    parser.set_defaults(run=run)


def _run_store_check(conf: cfg.ConfigOpts, options: Any) -> int:
    return store_check.check(conf, store_check.StoreCheckArguments.from_options(options))


if __name__ == "__main__":
    sys.exit(main())
