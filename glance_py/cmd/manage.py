"""glance-manage: the operator's tool for the database.

It reads the configuration of the service, does one thing and says in its exit
code how that went.  It never touches the data of images.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg

from glance_py import config
from glance_py.cmd import indexes, metadefs, store_check
from glance_py.db.database import Database, open_database
from glance_py.db.errors import to_domain
from glance_py.db.timeouts import MAINTENANCE
from glance_py.domain import errors

UP_TO_DATE, NEEDS_EXPAND, NEEDS_MIGRATE, NEEDS_CONTRACT = 0, 3, 4, 5

LOG = logging.getLogger(__name__)

_DESCRIPTION = (
    "Looks after the database and the stores of the Image service. Options come before "
    "the command: glance-manage --config-file FILE db sync."
)
_EXIT_CODES = (
    "Exit codes: 0 done, 1 it could not be done, 2 wrong arguments. 'db check': 0 up "
    "to date, 3, 4 and 5 for expand, migrate and contract being next."
)

_UP_TO_DATE = "Database is up to date. No migrations needed."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: the words after the name of the program.
    :returns: the exit code of the process; ``db check`` has several.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    conf = cfg.ConfigOpts()
    conf.register_cli_opt(
        cfg.SubCommandOpt(
            "command",
            title="Commands",
            handler=_add_commands,
            help="What to do; each has a --help of its own.",
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
        # alembic announces each of its parts at the level at which it tells of upgrades.
        logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
        return conf.command.run(conf, conf.command) or 0
    except (config.ConfigurationError, errors.GlanceError, ValueError) as error:
        return _print_error(error)
    except Exception as error:
        from glance_py.db.migrations import MigrationError

        translated = to_domain(error)
        if isinstance(translated, (MigrationError, errors.GlanceError)):
            return _print_error(translated)
        # Where there is a log file, nobody would read anything on the terminal.
        LOG.exception("glance-manage failed")
        return _print_error(
            RuntimeError(
                f"it failed in a way that was not foreseen "
                f"({type(error).__name__}); the log says where."
            )
        )


def _print_error(error: Exception) -> int:
    print(f"glance-manage: {error}", file=sys.stderr)
    return 1


# --- Commands --------------------------------------------------------------------------------


def _version(database: Database, options) -> None:
    """Print the revisions at which the database is."""
    from glance_py.db import migrations

    heads = migrations.current_revisions(database)
    print(
        "\n".join(heads)
        if heads
        else "The database is not under migration control yet; run 'glance-manage db sync'."
    )


def _check(database: Database, options) -> int:
    """Tell by the exit code whether an upgrade is needed.

    0: up to date; 3: run 'db expand' next; 4: run 'db migrate' next; 5: run
    'db contract' next.  Changes nothing.
    """
    from glance_py.db import migrations

    phase = migrations.next_phase(database)
    if phase is None:
        print("Database is up to date. No upgrades needed.")
        return UP_TO_DATE
    print(f"Your database is not up to date. Your next step is to run `glance-manage db {phase}`.")
    return {"expand": NEEDS_EXPAND, "migrate": NEEDS_MIGRATE, "contract": NEEDS_CONTRACT}[phase]


def _sync(database: Database, options) -> None:
    """Bring the database to the newest schema in one go.

    Makes all tables in an empty database.  On one with data stop the service
    first, or use 'db expand', 'db migrate' and 'db contract' around a rolling
    upgrade instead.
    """
    from glance_py.db import migrations

    if migrations.next_phase(database) is None:
        print(_UP_TO_DATE)
        return
    migrations.upgrade(database)
    print("Database is synced successfully.")


def _upgrade(database: Database, options) -> None:
    """Bring the database to a revision, by default the newest one."""
    from glance_py.db import migrations

    migrations.upgrade(database, options.revision or "heads")
    _print_revisions(database)


def _expand(database: Database, options) -> None:
    """First phase of a rolling upgrade: add what the new release needs.

    The old release keeps working meanwhile.
    """
    from glance_py.db import migrations

    if migrations.next_phase(database) != "expand":
        print(_UP_TO_DATE)
        return
    migrations.upgrade(database, migrations.expand_head())
    _print_revisions(database)


def _migrate(database: Database, options) -> None:
    """Second phase of a rolling upgrade: move data to its new place."""
    from glance_py.db import migrations

    if migrations.next_phase(database) == "expand":
        raise errors.Conflict("Run 'glance-manage db expand' first.")
    moved = migrations.migrate(database)
    print(
        f"Migrated {moved} rows."
        if moved
        else "Database migration is up to date. No migration needed."
    )


def _contract(database: Database, options) -> None:
    """Last phase of a rolling upgrade: remove what only the old release needed.

    Stop the last process of the old release before.
    """
    from glance_py.db import migrations

    phase = migrations.next_phase(database)
    if phase in ("expand", "migrate"):
        raise errors.Conflict(f"Run 'glance-manage db {phase}' first.")
    if phase is None:
        print(_UP_TO_DATE)
        return
    migrations.upgrade(database, migrations.contract_head())
    _print_revisions(database)


def _version_control(database: Database, options) -> None:
    """Note a revision in a database that is not under migration control.

    Changes no table: only for a database of which you know the schema.  Without
    a revision it notes the oldest one, liberty.
    """
    from glance_py.db import migrations

    revision = options.revision or migrations.OLDEST_REVISION
    migrations.stamp(database, revision)
    print(f"Placed database under migration control at revision: {revision}")


def _purge(database: Database, options) -> None:
    """Remove for good what was deleted long ago, except the rows of images themselves.

    Locations whose data is still to be removed stay, and so do their images: nothing
    else says where that data is. glance-scrubber and the service remove it.
    """
    from glance_py.db import purge

    removed = purge.purge(database, options.age_in_days, options.max_rows)
    print(f"Removed {removed} rows.")
    if left := purge.count_pending_locations(database):
        print(
            f"{left} locations stay until their data is removed (by glance-scrubber, or by the "
            "service)."
        )


def _purge_images(database: Database, options) -> None:
    """Remove the rows of images that were deleted long ago.

    Afterwards anyone can make an image with such an id again, which users who
    remember the id may take for the old one (OSSN-0075).  Run 'db purge' first.
    """
    from glance_py.db import purge

    removed = purge.purge_images(database, options.age_in_days, options.max_rows)
    print(f"Removed {removed} rows.")


def _print_revisions(database: Database) -> None:
    from glance_py.db import migrations

    print(f"Current revision(s): {', '.join(migrations.current_revisions(database))}")


def _layers(conf: cfg.ConfigOpts, options) -> None:
    """Print which layers a request passes, outermost first, and what each has a say in."""
    from glance_py import gateway

    for noun, layers in gateway.STACKS.items():
        print(f"{noun}:")
        for layer in layers:
            print(f"  {layer.__name__:<28} {' '.join(layer.overrides())}")


def _openapi(conf: cfg.ConfigOpts, options) -> None:
    """Print the API as this service offers it, an OpenAPI 3.1 document in JSON."""
    from glance_py.http.routes import ROUTES
    from glance_py.middleware.versions import enabled_versions
    from glance_py.settings import Settings
    from glance_py.wire.dump import dumps
    from glance_py.wire.image import image_resource
    from glance_py.wire.openapi import openapi

    settings = Settings.from_conf(conf)
    image = image_resource(settings.formats, settings.schema_image_file)
    print(dumps(openapi(enabled_versions(settings)[0], image, ROUTES)).decode())


# --- Command line ----------------------------------------------------------------------------

_COMMANDS: dict[str, Callable] = {
    "version": _version,
    "check": _check,
    "sync": _sync,
    "upgrade": _upgrade,
    "expand": _expand,
    "migrate": _migrate,
    "contract": _contract,
    "version_control": _version_control,
    "purge": _purge,
    "purge_images_table": _purge_images,
    "indexes": indexes.run,
}
_DEFAULT_AGE_IN_DAYS = {"purge": 30, "purge_images_table": 180}
_WITHOUT_LEGACY_NAME = frozenset({*_DEFAULT_AGE_IN_DAYS, "indexes"})


def _add_commands(subparsers) -> None:
    """The words that follow the options; called by oslo.config."""
    database = subparsers.add_parser(
        "db", help="look after the database", description="Look after the database."
    )
    actions = database.add_subparsers(metavar="ACTION", required=True, title="Actions")
    for name, command in _COMMANDS.items():
        _add_action(actions, name, name, command)
        if name not in _WITHOUT_LEGACY_NAME:
            _add_action(subparsers, f"db_{name}", name, command, legacy=True)
    for name, command in metadefs.COMMANDS.items():
        _add_metadef_action(actions, name, name, command)
        _add_metadef_action(subparsers, f"db_{name}", name, command, legacy=True)
    store = subparsers.add_parser(
        "store", help="look after the stores", description="Look after the stores."
    )
    _add_store_check(
        store.add_subparsers(metavar="ACTION", required=True, title="Actions"), "check"
    )
    _add_store_check(subparsers, "fsck")
    for name, command in (("layers", _layers), ("openapi", _openapi)):
        parser = subparsers.add_parser(name, help=_summary(command), description=command.__doc__)
        parser.set_defaults(run=command)


def _add_action(
    parsers, command_name: str, name: str, command: Callable, legacy: bool = False
) -> None:
    # Old spellings work, and are not what a newcomer should find.
    help_arguments = {} if legacy else {"help": _summary(command)}
    parser = parsers.add_parser(
        command_name,
        **help_arguments,
        description=inspect.cleandoc(command.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if name in ("upgrade", "version_control"):
        parser.add_argument(
            "--version",
            dest="revision",
            metavar="REVISION",
            help="a revision as 'db version' prints it",
        )
        parser.add_argument(
            "revision",
            nargs="?",
            default=argparse.SUPPRESS,
            metavar="REVISION",
            help="the same without --version",
        )
    elif name == "sync":
        # Old scripts name a version here; the newest one is the only sensible one.
        parser.add_argument("version", nargs="?", help=argparse.SUPPRESS)
        parser.add_argument("--version", dest="version", help=argparse.SUPPRESS)
    elif name in _DEFAULT_AGE_IN_DAYS:
        parser.add_argument(
            "--age_in_days",
            type=int,
            default=_DEFAULT_AGE_IN_DAYS[name],
            metavar="DAYS",
            help="only what was deleted longer ago; default %(default)s",
        )
        parser.add_argument(
            "--max_rows",
            type=int,
            default=100,
            metavar="ROWS",
            help="at most so many rows of each table; default %(default)s, -1 for no limit",
        )
    elif name == "indexes":
        indexes.add_arguments(parser)
    parser.set_defaults(
        run=lambda conf, options: command(open_database(conf, MAINTENANCE), options)
    )


def _add_metadef_action(
    parsers, command_name: str, name: str, command: Callable, legacy: bool = False
) -> None:
    # Old spellings work, and are not what a newcomer should find.
    help_arguments = {} if legacy else {"help": _summary(command)}
    parser = parsers.add_parser(
        command_name,
        **help_arguments,
        description=inspect.cleandoc(command.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    metadefs.add_arguments(parser, name, legacy)
    parser.set_defaults(
        run=lambda conf, options: command(conf, open_database(conf, MAINTENANCE), options)
    )


def _add_store_check(parsers, command_name: str) -> None:
    parser = parsers.add_parser(
        command_name,
        help=_summary(store_check.check),
        description=store_check.check.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    store_check.add_arguments(parser)
    parser.set_defaults(run=store_check.check)


def _summary(function: Callable) -> str:
    return (function.__doc__ or "").partition("\n")[0].rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
