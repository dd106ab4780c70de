"""The command glance-status upgrade check: checks whether an upgrade to this release is possible.

Run the command of the new release before its service is started.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Sequence

from oslo_config import cfg
from oslo_policy import opts as policy_options
from oslo_upgradecheck import upgradecheck

from glance_py import config
from glance_py.cmd.upgrade_checks import CHECKS, UpgradeCheck

_USAGE = """\
glance-status [--config-file FILE] [--config-dir DIR] upgrade check [--json]

Checks the configuration, the policy file, the paste file and the database for what
prevents an upgrade or changes behaviour after it. Changes nothing.

Exit codes: 0 ready, 1 warnings, 2 changes are needed first, 255 a check failed.
"""


class UpgradeChecks(upgradecheck.UpgradeCommands):
    """The checks of ``upgrade_checks.py``, as oslo.upgradecheck calls them."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._upgrade_checks = tuple(
            (name, functools.partial(_call_check, check, conf)) for name, check in CHECKS
        )


def _call_check(
    check: UpgradeCheck, conf: cfg.ConfigOpts, _commands: UpgradeChecks
) -> upgradecheck.Result:
    return check(conf)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    :param argv: its arguments; None for those of the process.
    :returns: the exit code: 0 to 2 for the worst result, 255 when a check failed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or {"-h", "--help"} & set(arguments):
        print(_USAGE, end="")
        return 0 if arguments else 2
    conf = cfg.ConfigOpts()
    config.register(conf)
    policy_options.set_defaults(conf)
    # Log lines of libraries would be printed inside the table.
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        return upgradecheck.main(
            conf, "glance", UpgradeChecks(conf), arguments, config.config_files(arguments) or None
        )
    except (
        config.ConfigurationError,
        cfg.ConfigFilesNotFoundError,
        cfg.ConfigFileParseError,
        cfg.ConfigFilesPermissionDeniedError,
    ) as error:
        print(f"glance-status: {error}", file=sys.stderr)
        return 255
    finally:
        logging.disable(disabled)


if __name__ == "__main__":
    sys.exit(main())
