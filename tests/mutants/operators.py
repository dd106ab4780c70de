"""Small errors in a syntax tree, one at a time.

A mutant is one change: a check removed, a condition negated, another constant.  Nothing here runs
a test.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

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


def general_mutants(tree: ast.Module, rules: frozenset[str]) -> Iterator[Mutant]:
    """The mutants of :func:`mutants` and further ones: numbers, flags and results that change.

    What only people read is left alone: docstrings, log lines, annotations, protocols.
    """
    known = sorted(rules)
    for node, field, index, child in _executed_children(tree):
        line = getattr(child, "lineno", getattr(node, "lineno", 0))
        for description, new in (*_replacements(node, child, known), *_constants(node, child)):
            yield Mutant(line, description, _replace_child(node, field, index, new))


def _executed_children(root: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """:func:`_children` without what no test can notice."""
    waiting = [root]
    while waiting:
        node = waiting.pop(0)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            children = value if isinstance(value, list) else [value]
            for index, child in enumerate(children):
                if isinstance(child, ast.AST) and not _is_for_readers(child):
                    yield node, field, index if isinstance(value, list) else None, child
                    waiting.append(child)


def _is_for_readers(node: ast.AST) -> bool:
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base).startswith("Protocol") for base in node.bases)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Expr):
        if isinstance(node.value, ast.Constant):
            return True
        return ast.unparse(node.value).startswith(("LOG.", "logging."))
    return False


def _constants(node: ast.AST, child: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Numbers that are one more, flags that are turned, results that are missing."""
    if isinstance(child, ast.Constant):
        if isinstance(child.value, bool):
            yield (
                f"{ast.unparse(node)[:80]}: {child.value} -> {not child.value}",
                ast.Constant(not child.value),
            )
        elif isinstance(child.value, int):
            yield (
                f"{ast.unparse(node)[:80]}: {child.value} -> {child.value + 1}",
                ast.Constant(child.value + 1),
            )
    elif isinstance(child, ast.Return) and not isinstance(child.value, ast.Constant | None):
        yield f"{ast.unparse(child)[:80]} -> None", ast.Return(ast.Constant(None))


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
