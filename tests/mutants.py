"""Mutants of the checks: does a test notice when one is gone?

``make mutants`` makes one small error after another in the code that judges callers
(a check removed, a condition turned round, another rule asked) and runs the tests of
the layers.  A mutant that no test notices is printed and fails the run.

Each mutant lives in a process of its own, forked from one that has imported what is
not this repository's, and has a time limit.  With paths as arguments only those files
are looked at.
"""

from __future__ import annotations

import ast
import concurrent.futures
import contextlib
import importlib
import importlib.util
import io
import os
import pathlib
import signal
import sys
import time
import traceback
import types
import unittest
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: Files, and the classes and functions in them that judge callers; None is all of them.
TARGETS: dict[str, frozenset[str] | None] = {
    "glance_py/domain/visibility.py": None,
    "glance_py/layers/authorization.py": None,
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
    "tests.unit.layers.test_access",
    "tests.unit.layers.test_authorization",
    "tests.unit.layers.test_policy",
    "tests.unit.layers.test_metadefs",
    "tests.unit.layers.test_location_validation",
    "tests.unit.layers.test_property_protection",
    "tests.unit.policies.test_enforcer",
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

#: Seconds after which a mutant that hangs counts as noticed.
TIMEOUT = 60

_OPPOSITE: dict[type, type] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class Mutant:
    """One change of a tree: applied and taken back by entering and leaving it."""

    def __init__(
        self, line: int, description: str, apply: Callable[[], Callable[[], None]]
    ) -> None:
        self.line = line
        self.description = description
        self._apply = apply

    def __enter__(self) -> None:
        self._undo = self._apply()

    def __exit__(self, *_error: object) -> None:
        self._undo()


def mutants(
    tree: ast.Module, rules: frozenset[str], names: frozenset[str] | None = None
) -> Iterator[Mutant]:
    """All mutants of a module.

    :param rules: names of policy rules; each stands to be taken for another one.
    :param names: the classes, functions and methods to look into, None for all.
    """
    known = sorted(rules)
    for parent in _scopes(tree, names):
        for node, field, index, child in _children(parent):
            for description, new in _replacements(node, child, known):
                line = getattr(child, "lineno", getattr(node, "lineno", 0))
                yield Mutant(line, description, _replace_child(node, field, index, new))


def _scopes(tree: ast.Module, names: frozenset[str] | None) -> Iterator[ast.AST]:
    if names is None:
        yield tree
        return
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if node.name in names:
                yield node
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and f"{node.name}.{inner.name}" in names:
                    yield inner


def _children(root: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """(node, field, position in a list, child) of everything below."""
    for node in ast.walk(root):
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                for index, child in enumerate(value):
                    if isinstance(child, ast.AST):
                        yield node, field, index, child
            elif isinstance(value, ast.AST):
                yield node, field, None, value


def _replace_child(node: ast.AST, field: str, index: int | None, new: object) -> Callable:
    def apply() -> Callable[[], None]:
        if index is None:
            old = getattr(node, field)
            setattr(node, field, new)
            return lambda: setattr(node, field, old)
        children = getattr(node, field)
        before = list(children)
        children[index : index + 1] = [] if new is None else [new]
        return lambda: children.__setitem__(slice(None), before)

    return apply


def _replacements(
    node: ast.AST, child: ast.AST, rules: list[str]
) -> Iterator[tuple[str, ast.AST | None]]:
    text = ast.unparse(child) if isinstance(child, ast.expr | ast.stmt) else ""
    yield from _statements(node, child, text)
    if isinstance(child, ast.BoolOp):
        yield f"{text} -> the other operator", ast.BoolOp(_OPPOSITE[type(child.op)](), child.values)
        for each in child.values:
            rest = [value for value in child.values if value is not each]
            yield (
                f"{text} -> without {ast.unparse(each)}",
                (rest[0] if len(rest) == 1 else ast.BoolOp(child.op, rest)),
            )
    elif isinstance(child, ast.UnaryOp) and isinstance(child.op, ast.Not):
        yield f"{text} -> {ast.unparse(child.operand)}", child.operand
    elif isinstance(child, ast.Compare) and len(child.ops) == 1:
        opposite = ast.Compare(child.left, [_OPPOSITE[type(child.ops[0])]()], child.comparators)
        yield f"{text} -> {ast.unparse(opposite)}", opposite
    elif isinstance(child, ast.Constant) and isinstance(child.value, str):
        if child.value in rules:
            other = rules[(rules.index(child.value) + 1) % len(rules)]
            yield f"{text} -> {other!r}", ast.Constant(other)
        elif isinstance(node, ast.Compare):
            yield f"{text} -> another text", ast.Constant("mutant")
        if isinstance(node, ast.Tuple | ast.Set) and all(
            isinstance(each, ast.Constant | ast.Name) for each in node.elts
        ):
            yield f"{ast.unparse(node)} -> without {text}", None
    elif isinstance(child, ast.comprehension):
        for each in child.ifs:
            yield (
                f"if {ast.unparse(each)} -> always",
                ast.comprehension(child.target, child.iter, [], child.is_async),
            )


def _statements(node: ast.AST, child: ast.AST, text: str) -> Iterator[tuple[str, ast.AST]]:
    """Statements that go, conditions and answers that are fixed."""
    is_removable = (
        isinstance(child, ast.Raise | ast.AugAssign)
        or isinstance(child, ast.Expr)
        and isinstance(child.value, ast.Call)
        or isinstance(child, ast.Assign)
        and isinstance(child.value, ast.Call)
        and ast.unparse(child.value.func).startswith(ast.unparse(child.targets[0]) + ".")
    )
    if is_removable:
        yield f"{text} -> gone", ast.Pass()
    if isinstance(node, ast.If | ast.IfExp) and child is node.test:
        for value in (True, False):
            yield f"if {text} -> {value}", ast.Constant(value)
    if isinstance(child, ast.Return) and child.value is not None and _is_condition(child.value):
        for value in (True, False):
            yield f"{text} -> {value}", ast.Return(ast.Constant(value))


def _is_condition(value: ast.expr) -> bool:
    return isinstance(value, ast.BoolOp | ast.Compare) or (
        isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    )


# --- Running them ----------------------------------------------------------------------------


def load_tests() -> unittest.TestSuite:
    return unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
        for name in TESTS
    )


def run_tests(suite: unittest.TestSuite) -> unittest.TestResult:
    result = unittest.TestResult()
    result.failfast = True
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        suite.run(result)
    return result


def unload_modules() -> None:
    """Forget what was imported of this repository, so that it is imported anew."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("glance_py", "tests") and name != "tests.mutants":
            del sys.modules[name]


class _MutantFinder:
    """Finds the mutant where the module is looked for."""

    def __init__(self, name: str, path: pathlib.Path, code: types.CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, name: str, path: object = None, target: object = None):
        if name == self._name:
            return importlib.util.spec_from_loader(name, self, origin=str(self._path))
        return None

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(self._code, module.__dict__)


def is_killed(path: str, text: str) -> bool:
    """Does a test fail with this text in place of the file?  In a process of its own."""
    file = ROOT / path
    code = compile(text, str(file), "exec")
    child = os.fork()
    if child == 0:
        exit_code = 1
        try:
            signal.alarm(TIMEOUT)
            unload_modules()
            name = path.removesuffix(".py").replace("/", ".")
            sys.meta_path.insert(0, _MutantFinder(name, file, code))  # type: ignore[arg-type]
            exit_code = 0 if run_tests(load_tests()).wasSuccessful() else 1
        except BaseException:  # whatever cannot even be imported is noticed
            exit_code = 1
        finally:
            os._exit(exit_code)
    _pid, status = os.waitpid(child, 0)
    return status != 0


def survivors(
    path: str,
    names: frozenset[str] | None,
    rules: frozenset[str],
    jobs: concurrent.futures.Executor,
) -> tuple[int, list[str]]:
    """How many mutants of a file there are, and those that no test notices."""
    tree = ast.parse((ROOT / path).read_text())
    found, surviving = [], []
    for mutant in mutants(tree, rules, names):
        with mutant:
            text = ast.unparse(tree)
        found.append((mutant, jobs.submit(is_killed, path, text)))
    for mutant, killed in found:
        if (path, mutant.description) in EQUIVALENT:
            killed.result()
        elif not killed.result():
            surviving.append(f"{path}:{mutant.line}: {mutant.description}")
    return len(found), surviving


def main(paths: list[str]) -> int:
    started = time.monotonic()
    if not run_tests(load_tests()).wasSuccessful():
        print("The tests fail without any mutant.", file=sys.stderr)
        return 1
    from glance_py import policies

    rules = frozenset(rule.name for rule in policies.list_rules())
    total, surviving = 0, []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as jobs:
        for path, names in TARGETS.items():
            if paths and path not in paths:
                continue
            number, survived = survivors(path, names, rules, jobs)
            print(f"{path}: {number} mutants, {len(survived)} not noticed", flush=True)
            total, surviving = total + number, surviving + survived
    print("\n".join(surviving))
    print(f"{total} mutants in {time.monotonic() - started:.0f} s, {len(surviving)} not noticed")
    return 1 if surviving else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.exit(1)
