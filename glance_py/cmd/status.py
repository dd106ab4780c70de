"""glance-status upgrade check: is this installation ready for the release on disk?

Run it with the new release's program before its service starts.
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
from glance_py.cmd.upgrade_checks import CHECKS

_USAGE = """\
glance-status [--config-file FILE] [--config-dir DIR] upgrade check [--json]

Looks at the configuration, the policy file, the paste file and the database, and
says what stops an upgrade or surprises after it. Changes nothing.

Exit codes: 0 ready, 1 warnings to read, 2 something to do first, 255 the check itself failed.
"""


class UpgradeChecks(upgradecheck.UpgradeCommands):
    """The checks of this service, as oslo.upgradecheck runs them."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._upgrade_checks = tuple(
            (name, functools.partial(_call_check, check, conf)) for name, check in CHECKS
        )


def _call_check(check, conf: cfg.ConfigOpts, _commands) -> upgradecheck.Result:
    return check(conf)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the checks.

    :param argv: the words after the name of the program.
    :returns: the exit code: 0 to 2 as the worst result, 255 when a check could not be made.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or {"-h", "--help"} & set(arguments):
        print(_USAGE, end="")
        return 0 if arguments else 2
    conf = cfg.ConfigOpts()
    config.register(conf)
    policy_options.set_defaults(conf)
    # Messages of libraries belong into no table.
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
