"""What ``make mutants`` examines completely: the code that judges callers.

No mutant here may survive, apart from those that are listed as equivalent.
"""

from __future__ import annotations

#: Files, and the classes and functions in them that judge callers; None is all of them.
TARGETS: dict[str, frozenset[str] | None] = {
    "glance_py/domain/visibility.py": None,
    "glance_py/layers/authorization.py": None,
    "glance_py/layers/checks.py": None,
    "glance_py/layers/ownership.py": None,
    "glance_py/layers/policy.py": None,
    "glance_py/layers/metadefs_authorization.py": None,
    "glance_py/layers/metadefs_policy.py": None,
    "glance_py/layers/tasks.py": frozenset(
        {"TaskPolicyProxy", "TaskAdapter.list", "TaskAdapter.list_for_image"}
    ),
    "glance_py/layers/property_protection.py": frozenset({"PropertyProtectionProxy"}),
    "glance_py/layers/location_validation.py": frozenset(
        {"is_service", "LocationValidator.check_scheme", "LocationValidationProxy.add_location"}
    ),
    "glance_py/policies/enforcer.py": frozenset(
        {
            "Enforcer._resolve_check",
            "Enforcer.allows",
            "Enforcer.enforce",
            "Enforcer.enforce_image",
            "Enforcer.is_admin",
            "Enforcer.memoized_check",
        }
    ),
}

#: The tests that have to notice, the quickest to notice first.
TESTS = (
    "tests/unit/domain/test_visibility.py",
    "tests/unit/layers/test_access.py",
    "tests/unit/layers/test_checks.py",
    "tests/unit/layers/test_authorization.py",
    "tests/unit/layers/test_policy.py",
    "tests/unit/layers/test_metadefs.py",
    "tests/unit/layers/test_location_validation.py",
    "tests/unit/layers/test_property_protection.py",
    "tests/unit/policies/test_enforcer.py",
)

#: Mutants that mean the same as the original: (file, what was changed) -> why.
EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "glance_py/layers/metadefs_authorization.py",
        "if namespace.protected -> True",
    ): "reads once more than it must",
    (
        "glance_py/layers/metadefs_policy.py",
        "rule != _VIEW_RULE and self._enforcer.allows(ctx, _VIEW_RULE, about) "
        "-> without rule != _VIEW_RULE",
    ): "asks a rule again that has just refused",
    (
        "glance_py/policies/enforcer.py",
        "rule != 'get_image' and self.allows(ctx, 'get_image', target) "
        "-> without rule != 'get_image'",
    ): "asks a rule again that has just refused",
    ("glance_py/layers/property_protection.py", "if name not in memo -> True"): "asks anew",
    (
        "glance_py/layers/property_protection.py",
        "if len(readable) == len(properties) -> False",
    ): "copies what need not be copied",
    (
        "glance_py/policies/enforcer.py",
        "if not cacheable -> True",
    ): "forgets answers, which is slower",
}
