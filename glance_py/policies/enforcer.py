"""Enforces the policy rules: may this caller do this with that target?

Rules come from oslo.policy (defaults, ``policy.yaml``, ``policy.d``).  They are read again when a
file changes, without a restart: each request looks at the files once, so that a permission that an
operator withdraws does not hold for the next request.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping

from oslo_config import cfg
from oslo_policy import policy

from glance_py import policies
from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.policies.check import CheckFunction, CompiledRules
from glance_py.policies.target import ImageTarget, RecordingTarget
from glance_py.settings import PolicySettings
from glance_py.watched_file import CHECK_INTERVAL, WatchedFile

LOG = logging.getLogger(__name__)

_ABSENT = object()


def oslo_enforcer(conf: cfg.ConfigOpts) -> policy.Enforcer:
    """The enforcer of oslo.policy with the default rules of this service."""
    enforcer = policy.Enforcer(conf)
    enforcer.suppress_default_change_warnings = True
    enforcer.register_defaults(policies.list_rules())
    return enforcer


def get_enforcer() -> policy.Enforcer:
    """For the command line tools of oslo.policy: entry point ``oslo.policy.enforcer: glance``.

    The tools do not read ``--config-file`` and ``--config-dir``; this function reads them from
    ``sys.argv``.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-file", action="append", default=[])
    parser.add_argument("--config-dir", action="append", default=[])
    named, _others = parser.parse_known_args(sys.argv[1:])
    conf = cfg.CONF  # the tools use it, too
    conf(
        [f"--config-file={path}" for path in named.config_file]
        + [f"--config-dir={path}" for path in named.config_dir],
        project="glance",
        prog="glance-api",
    )
    return oslo_enforcer(conf)


def _policy_paths(conf: cfg.ConfigOpts) -> list[str]:
    """Paths at which ``ConfigOpts.find_file`` looks for policy files and directories."""
    settings = PolicySettings.from_conf(conf)
    directories = [
        *(conf.config_dir or ()),
        *(os.path.dirname(path) for path in reversed(conf.config_file or ())),
        *cfg._get_config_dirs(conf.project),
    ]
    return [
        os.path.join(os.path.abspath(directory), name)
        for name in (settings.policy_file, *settings.policy_dirs)
        for directory in dict.fromkeys(directories)
    ]


class Enforcer:
    """The rules of one process.  Safe in threads.

    :param clock: seconds, as ``time.monotonic``.
    :raises Exception: a policy file cannot be read or parsed.  When that happens later, an error
        is logged and the rules stay as they were.
    """

    def __init__(self, conf: cfg.ConfigOpts, clock: Callable[[], float] = time.monotonic) -> None:
        self._conf = conf
        self._clock = clock
        self._extra_rules: dict[str, str] = {}
        self._scopes: dict[str, frozenset[str]] = {
            rule.name: frozenset(rule.scope_types)
            for rule in policies.list_rules()
            if rule.scope_types
        }
        self._lock = threading.Lock()
        self._files = WatchedFile(
            "The policy (files in policy_file and policy_dirs)",
            self._read_rules,
            _policy_paths(conf),
            LOG,
            clock,
        )
        if not PolicySettings.from_conf(conf).enforce_new_defaults:
            LOG.warning(
                "[oslo_policy] enforce_new_defaults is off: callers that the old default of a "
                "rule allows are still allowed. That concerns %s.",
                ", ".join(rule.name for rule in policies.list_rules() if rule.deprecated_rule),
            )

    def _read_rules(self) -> CompiledRules:
        """Read the policy files into a new enforcer of the library.

        The one that is in use is replaced afterwards, so that no request meets half of the rules.
        """
        library = oslo_enforcer(self._conf)
        # The library writes this warning to standard error, once; here it is logged.
        library.suppress_deprecation_warnings = True
        for name, check in self._extra_rules.items():
            library.registered_rules.pop(name, None)
            library.register_default(policy.RuleDefault(name, check))
        library.load_rules()
        _warn_of_deprecated(library)
        return CompiledRules(library.rules, library)

    def _current_rules(self, ctx: Caller) -> CompiledRules:
        """The rules for a request, by the policy files at its first question.

        A request that takes longer looks at the files again every CHECK_INTERVAL seconds.
        """
        now = self._clock()
        if now >= ctx.next_policy_check:
            ctx.next_policy_check = now + CHECK_INTERVAL
            self._files.refresh()
        return self._files.value

    def register(self, checks: Mapping[str, str]) -> None:
        """Add rules (name -> check string) that are not defaults of the service.

        An operator may override them in the policy files like any other rule.  A rule that was
        added before gets the new check string.
        """
        with self._lock:
            if checks.items() - self._extra_rules.items():
                # A new dictionary: another thread may be reading the rules.
                self._extra_rules = {**self._extra_rules, **checks}
                self._files.reload()

    def _resolve_check(
        self, ctx: Caller, rule: str
    ) -> tuple[CheckFunction | None, bool, Mapping[str, object]]:
        """The check of a rule, whether its answers may be reused, and the caller's credentials.

        The check is None when the rule does not know the scope of the token.
        """
        credentials = ctx.credentials
        scope = "project"
        if credentials.get("system_scope"):
            scope = "system"
            credentials = {**credentials, "system": credentials["system_scope"]}
        elif credentials.get("domain_id"):
            scope = "domain"
        allowed = self._scopes.get(rule)
        if allowed is not None and scope not in allowed:
            return None, True, credentials
        check_function, cacheable = self._current_rules(ctx).get(rule)
        return check_function, cacheable, credentials

    def allows(self, ctx: Caller, rule: str, target: Mapping[str, object]) -> bool:
        """Does the rule allow the caller?  It does not when it does not know the token's scope.

        :param target: what the rule may refer to as ``%(key)s``.
        """
        check_function, _, credentials = self._resolve_check(ctx, rule)
        return check_function is not None and check_function(target, credentials)

    def enforce(self, ctx: Caller, rule: str, target: Mapping[str, object]) -> None:
        """Raise unless the rule allows the caller.

        :raises errors.PolicyForbids: it does not.
        """
        if not self.allows(ctx, rule, target):
            raise errors.PolicyForbids(rule)

    def enforce_image(self, ctx: Caller, rule: str, image: Image) -> None:
        """Raise unless the rule allows the caller, with the image as the target.

        :raises errors.PolicyForbids: it does not, but the rule get_image does.
        :raises errors.ImageNotFound: neither does.
        """
        target = ImageTarget(image)
        if not self.allows(ctx, rule, target):
            if rule != "get_image" and self.allows(ctx, "get_image", target):
                raise errors.PolicyForbids(rule)
            raise errors.ImageNotFound(image.id)

    def is_admin(self, ctx: Caller) -> bool:
        """Does the rule context_is_admin, which looks at roles, allow the caller?"""
        return self.allows(ctx, "context_is_admin", {})

    def memoized_check(self, ctx: Caller, rule: str) -> Callable[[Mapping[str, object]], bool]:
        """A function from a target to the answer of a rule for this caller; for one request.

        The answer for a target is reused for each target that has the same values under all keys
        that the rule has read so far.
        """
        check_function, cacheable, credentials = self._resolve_check(ctx, rule)
        if check_function is None:
            return lambda target: False
        if not cacheable:
            return lambda target: check_function(target, credentials)
        return _MemoizedCheck(check_function, credentials)


def _warn_of_deprecated(library: policy.Enforcer) -> None:
    """Log the rules in policy files that a later release will ignore."""
    for name in library.file_rules:
        default = library.registered_rules.get(name)
        if default is not None and default.deprecated_for_removal:
            LOG.warning(
                "The policy files set the rule %s, which is deprecated: %s",
                name,
                default.deprecated_reason,
            )


class _MemoizedCheck:
    """A rule with a cache of its answers, by the values of the keys that it reads."""

    __slots__ = ("_check_function", "_credentials", "_keys", "_results")

    def __init__(self, check_function: CheckFunction, credentials: Mapping[str, object]) -> None:
        self._check_function = check_function
        self._credentials = credentials
        self._keys: tuple[str, ...] = ()
        self._results: dict[tuple[object, ...], bool] = {}

    def __call__(self, target: Mapping[str, object]) -> bool:
        try:
            allowed = self._results.get(self._cache_key(target))
        except TypeError:  # a value that cannot be a dictionary key, such as a list
            return self._check_function(target, self._credentials)
        if allowed is None:
            allowed = self._evaluate(target)
        return allowed

    def _cache_key(self, target: Mapping[str, object]) -> tuple[object, ...]:
        return tuple([target.get(key, _ABSENT) for key in self._keys])

    def _evaluate(self, target: Mapping[str, object]) -> bool:
        recording = RecordingTarget(target)
        allowed = self._check_function(recording, self._credentials)
        if not recording.read.issubset(self._keys):
            # The rule read another key: the answers so far may depend on it.
            self._keys = tuple(recording.read.union(self._keys))
            self._results.clear()
        try:
            self._results[self._cache_key(target)] = allowed
        except TypeError:
            pass
        return allowed
