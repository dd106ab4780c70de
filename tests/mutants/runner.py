"""Runs tests against mutants, each in a process of its own."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import io
import os
import pathlib
import pickle
import signal
import sys
import tempfile
import time
import types
import unittest
from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.mutants.operators import Mutant

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: Seconds after which a mutant that hangs counts as noticed.
TIMEOUT = 60

#: Test ids by file and line, the quickest first.
CoveringTests = Mapping[str, Mapping[int, Sequence[str]]]


def module_names(places: Iterable[str]) -> list[str]:
    """Dotted names of the test modules in files and folders, relative to the root."""
    files: list[pathlib.Path] = []
    for place in places:
        path = ROOT / place
        files += sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    return [str(file.relative_to(ROOT)).removesuffix(".py").replace("/", ".") for file in files]


def run_tests(names: Iterable[str], result: unittest.TestResult | None = None) -> bool:
    """Run tests by their dotted names until one fails; True when all pass."""
    result = result or unittest.TestResult()
    result.failfast = True
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        unittest.defaultTestLoader.loadTestsFromNames(list(names)).run(result)
    return result.wasSuccessful()


def covering_tests(places: Iterable[str], package: str) -> CoveringTests:
    """Which tests execute which line of a package.  Runs all of them once, in a child.

    :raises RuntimeError: a test fails without any mutant.
    """
    with tempfile.NamedTemporaryFile() as file:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with open(file.name, "wb") as output:
                    pickle.dump(_covering_tests(module_names(places), package), output)
                code = 0
            finally:
                os._exit(code)
        if os.waitpid(child, 0)[1] != 0:
            raise RuntimeError("The tests fail without any mutant.")
        return pickle.load(file)  # noqa: S301 - written by the child just now


class _ContextResult(unittest.TestResult):
    """Tells coverage which test runs, and measures how long each takes."""

    def __init__(self, switch: Callable[[str], object]) -> None:
        super().__init__()
        self._switch = switch
        self.seconds: dict[str, float] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._switch(test.id())
        self._began = time.monotonic()

    def stopTest(self, test: unittest.TestCase) -> None:
        self.seconds[test.id()] = time.monotonic() - self._began
        super().stopTest(test)


def _covering_tests(names: Sequence[str], package: str) -> CoveringTests:
    import coverage

    unload_modules()
    measured = coverage.Coverage(data_file=None, source=[str(ROOT / package)], config_file=False)
    measured.start()
    result = _ContextResult(measured.switch_context)
    passed = run_tests(names, result)
    measured.stop()
    if not passed:
        for test, text in (*result.failures, *result.errors):
            print(test, text, file=sys.stderr)
        raise RuntimeError("The tests fail without any mutant.")
    data = measured.get_data()
    covering: dict[str, dict[int, list[str]]] = {}
    for path in data.measured_files():
        lines = {
            line: sorted((test for test in tests if test), key=lambda id: result.seconds.get(id, 0))
            for line, tests in data.contexts_by_lineno(path).items()
        }
        covering[str(pathlib.Path(path).relative_to(ROOT))] = lines
    return covering


def tests_of(lines: Mapping[int, Sequence[str]], tree: ast.Module, mutant: Mutant) -> list[str]:
    """The tests that execute the statement of a mutant; of the whole file for its declarations."""
    first = _statement_line(tree, mutant.line)
    found = lines.get(first) or lines.get(mutant.line)
    if found:
        return list(found)
    every = dict.fromkeys(test for tests in lines.values() for test in tests)
    return list(every) if first in lines else []


def _statement_line(tree: ast.Module, line: int) -> int:
    """The first line of the innermost statement around a line."""
    starts = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return max(starts, default=line)


def unload_modules() -> None:
    """Forget what was imported of this repository, so that it is imported anew."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("glance_py", "glance_store_py", "tests") and not (
            name == "tests" or name.startswith("tests.mutants")
        ):
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


def is_killed(path: str, text: str, names: Sequence[str]) -> bool:
    """Does a test fail with this text in place of the file?  In a process of its own."""
    if not names:
        return False
    file = ROOT / path
    code = compile(text, str(file), "exec")
    child = os.fork()
    if child == 0:
        exit_code = 1
        try:
            signal.alarm(TIMEOUT)
            unload_modules()
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            sys.meta_path.insert(0, _MutantFinder(name, file, code))  # type: ignore[arg-type]
            exit_code = 0 if run_tests(names) else 1
        except BaseException:  # whatever cannot even be imported is noticed
            exit_code = 1
        finally:
            os._exit(exit_code)
    return os.waitpid(child, 0)[1] != 0


def warm_up() -> None:
    """Import libraries once, before anything is forked."""
    importlib.import_module("glance_py.app")
