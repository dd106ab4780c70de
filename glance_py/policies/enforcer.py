"""Asks the rules: may this caller do this to that?

Rules come from oslo.policy (defaults, ``policy.yaml``, ``policy.d``) and are
read again when a file changes, without a restart: each request looks at them
once, so a right that was taken away is gone for the next request.  What follows
from a "no" beyond 403 and 404 is the business of the layers.
"""

from __future__ import annotations

import argparse
import logging
import os
import stat
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

LOG = logging.getLogger(__name__)

#: Seconds after which work that goes on for one request looks at the policy files again, and
#: seconds between two attempts to read files that could not be read.
_RELOAD_INTERVAL = 1.0

_ABSENT = object()


def oslo_enforcer(conf: cfg.ConfigOpts) -> policy.Enforcer:
    """oslo.policy's own enforcer with the defaults of this service."""
    enforcer = policy.Enforcer(conf)
    enforcer.suppress_default_change_warnings = True
    enforcer.register_defaults(policies.list_rules())
    return enforcer


def get_enforcer() -> policy.Enforcer:
    """For the command line tools of oslo.policy: entry point ``oslo.policy.enforcer: glance``.

    They leave it to the service to find ``--config-file`` and ``--config-dir``
    among their arguments.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-file", action="append", default=[])
    parser.add_argument("--config-dir", action="append", default=[])
    named, _others = parser.parse_known_args(sys.argv[1:])
    conf = cfg.CONF  # where they look, too
    conf(
        [f"--config-file={path}" for path in named.config_file]
        + [f"--config-dir={path}" for path in named.config_dir],
        project="glance",
        prog="glance-api",
    )
    return oslo_enforcer(conf)


def _policy_paths(conf: cfg.ConfigOpts) -> list[str]:
    """Where policy files may be or appear, as ``ConfigOpts.find_file`` looks for them."""
    directories = [
        *(conf.config_dir or ()),
        *(os.path.dirname(path) for path in reversed(conf.config_file or ())),
        *cfg._get_config_dirs(conf.project),
    ]
    return [
        os.path.join(os.path.abspath(directory), name)
        for name in (conf.oslo_policy.policy_file, *conf.oslo_policy.policy_dirs)
        for directory in dict.fromkeys(directories)
    ]


class Enforcer:
    """The rules of one process.  Safe in threads.

    :raises Exception: a policy file is there and cannot be read or parsed; later,
        such a file is logged and the rules stay as they were.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._extra_rules: dict[str, str] = {}
        self._scopes: dict[str, frozenset[str]] = {
            rule.name: frozenset(rule.scope_types)
            for rule in policies.list_rules()
            if rule.scope_types
        }
        self._lock = threading.Lock()
        self._policy_paths = _policy_paths(conf)
        self._failed_stamp: list | None = None
        self._retry_at = 0.0
        self._load()
        if not conf.oslo_policy.enforce_new_defaults:
            LOG.warning(
                "[oslo_policy] enforce_new_defaults is off: who was allowed by the old "
                "default of a rule still is. That concerns %s.",
                ", ".join(rule.name for rule in policies.list_rules() if rule.deprecated_rule),
            )

    def _load(self) -> None:
        """Read the files; when that fails the rules stay as they are."""
        stamp = self._file_stamp()
        # A new one each time: what is half read is never asked.
        oslo = oslo_enforcer(self._conf)
        # The library would say it to standard error, once; the log is where operators look.
        oslo.suppress_deprecation_warnings = True
        for name, check in self._extra_rules.items():
            oslo.registered_rules.pop(name, None)
            oslo.register_default(policy.RuleDefault(name, check))
        oslo.load_rules()
        self._oslo = oslo
        self._warn_of_deprecated()
        self._rules, self._loaded_stamp = CompiledRules(oslo.rules, oslo), stamp

    def _warn_of_deprecated(self) -> None:
        """Name the rules of the policy files that will not be looked at for ever."""
        for name in self._oslo.file_rules:
            default = self._oslo.registered_rules.get(name)
            if default is not None and default.deprecated_for_removal:
                LOG.warning(
                    "The policy files set the rule %s, which is deprecated: %s",
                    name,
                    default.deprecated_reason,
                )

    def _current_rules(self, ctx: Caller) -> CompiledRules:
        """The rules for a request, by the files as they are when it first asks."""
        now = time.monotonic()
        if now >= ctx.next_policy_check:
            ctx.next_policy_check = now + _RELOAD_INTERVAL
            if self._file_stamp() != self._loaded_stamp:
                self._reload(now)
        return self._rules

    def _reload(self, now: float) -> None:
        with self._lock:  # who comes meanwhile must not be judged by the old rules
            stamp = self._file_stamp()
            if stamp == self._loaded_stamp or stamp == self._failed_stamp and now < self._retry_at:
                return
            try:
                self._load()
            except Exception:
                self._failed_stamp, self._retry_at = stamp, time.monotonic() + _RELOAD_INTERVAL
                LOG.exception("The changed policy files cannot be read; the old rules stay.")

    def _file_stamp(self) -> list[tuple[str, int, int, int]]:
        """What changes whenever a policy file changes, appears, disappears or is replaced."""
        stamp = []
        for path in self._policy_paths:
            try:
                status = os.stat(path)
                stamp.append((path, status.st_ino, status.st_ctime_ns, status.st_size))
                if stat.S_ISDIR(status.st_mode):
                    for entry in os.scandir(path):
                        status = entry.stat()
                        stamp.append(
                            (entry.path, status.st_ino, status.st_ctime_ns, status.st_size)
                        )
            except OSError:  # there is none
                continue
        return stamp

    def register(self, checks: Mapping[str, str]) -> None:
        """Add rules (check strings by name) that are not defaults of the service.

        An operator may override them in the policy files like any other rule.
        Those that were added before take their new meaning.
        """
        with self._lock:
            if checks.items() - self._extra_rules.items():
                self._extra_rules.update(checks)
                self._load()

    def _resolve_check(
        self, ctx: Caller, rule: str
    ) -> tuple[CheckFunction | None, bool, Mapping[str, object]]:
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
        """May the caller?  A token of a scope that the rule does not know may not."""
        check_function, _, credentials = self._resolve_check(ctx, rule)
        return check_function is not None and check_function(target, credentials)

    def enforce(self, ctx: Caller, rule: str, target: Mapping[str, object]) -> None:
        """:raises errors.PolicyForbids: the caller may not."""
        if not self.allows(ctx, rule, target):
            raise errors.PolicyForbids(rule)

    def enforce_image(self, ctx: Caller, rule: str, image: Image) -> None:
        """May the caller do this to this image?

        :raises errors.PolicyForbids: no, though it may see the image.
        :raises errors.ImageNotFound: it may not even see the image.
        """
        target = ImageTarget(image)
        if not self.allows(ctx, rule, target):
            if rule != "get_image" and self.allows(ctx, "get_image", target):
                raise errors.PolicyForbids(rule)
            raise errors.ImageNotFound(image.id)

    def is_admin(self, ctx: Caller) -> bool:
        """Is the caller an administrator, going by its roles?"""
        return self.allows(ctx, "context_is_admin", {})

    def memoized_check(self, ctx: Caller, rule: str) -> Callable[[Mapping[str, object]], bool]:
        """A function that answers one rule for many targets of one caller.

        The answer for a target is reused for every target that has the same
        values under all keys the rule has read so far.  Not for longer than one
        request.
        """
        check_function, cacheable, credentials = self._resolve_check(ctx, rule)
        if check_function is None:
            return lambda target: False
        if not cacheable:
            return lambda target: check_function(target, credentials)
        return _MemoizedCheck(check_function, credentials)


class _MemoizedCheck:
    """A rule that remembers its answers under the values of the keys it reads."""

    __slots__ = ("_check_function", "_credentials", "_keys", "_results")

    def __init__(self, check_function: CheckFunction, credentials: Mapping[str, object]) -> None:
        self._check_function = check_function
        self._credentials = credentials
        self._keys: tuple[str, ...] = ()
        self._results: dict[tuple, bool] = {}

    def __call__(self, target: Mapping[str, object]) -> bool:
        try:
            allowed = self._results.get(self._cache_key(target))
        except TypeError:  # a value that cannot be a dictionary key, such as a list
            return self._check_function(target, self._credentials)
        if allowed is None:
            allowed = self._evaluate(target)
        return allowed

    def _cache_key(self, target: Mapping[str, object]) -> tuple:
        return tuple([target.get(key, _ABSENT) for key in self._keys])

    def _evaluate(self, target: Mapping[str, object]) -> bool:
        recording = RecordingTarget(target)
        allowed = self._check_function(recording, self._credentials)
        if not recording.read.issubset(self._keys):
            # Another key matters: what was remembered without it no longer holds.
            self._keys = tuple(recording.read.union(self._keys))
            self._results.clear()
        try:
            self._results[self._cache_key(target)] = allowed
        except TypeError:
            pass
        return allowed
