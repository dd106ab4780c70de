"""Which packages are sampled, by which tests, and what share of the mutants must be noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Package:
    """``tests`` are modules and folders of unit tests; ``floor`` a percentage.

    ``declarations`` are the modules of tests for files in which tests execute no line, because
    they only declare what other code reads.
    """

    path: str
    tests: Sequence[str]
    floor: float
    declarations: Sequence[str] = ()


_SHARED = ("tests/unit/test_app.py", "tests/unit/test_gateway.py")

PACKAGES = {
    "layers": Package("glance_py/layers", ("tests/unit/layers", "tests/unit/test_limits.py"), 95),
    "wire": Package("glance_py/wire", ("tests/unit/wire", "tests/unit/http", *_SHARED), 95),
    "policies": Package(
        "glance_py/policies",
        ("tests/unit/policies", "tests/unit/layers"),
        95,
        declarations=("tests/unit/policies/test_defaults.py",),
    ),
    "importing": Package("glance_py/importing", ("tests/unit/importing", "tests/unit/layers"), 90),
}

#: How many mutants of a file are tried in a run without ``--all``.
SAMPLE = 40

#: Lines whose change means the same, or only another text for people: (file, description) -> why.
EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "glance_py/wire/dump.py",
        "strict=True: True -> False",
    ): "both sides are made of the same list",
    (
        "glance_py/wire/dump.py",
        "len(locations) < 2 or not self._stores.multi -> without len(locations) < 2",
    ): "sorts a list of one, too",
    (
        "glance_py/wire/load.py",
        "if body.count(b'[') + body.count(b'{') > MAX_DEPTH -> True",
    ): "checks the depth of every body, not only where there are enough brackets",
    (
        "glance_py/wire/task.py",
        ":12: 12 -> 13",
    ): "one more digit of a number that is larger than every limit",
    ("glance_py/policies/check.py", "if '%' not in template -> False"): "the general, slower way",
    ("glance_py/policies/check.py", "if one_key -> False"): "the general, slower way",
}
