"""The project's own modules as syntax trees: what the habits look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "twinlock"


class Module(NamedTuple):
    """``name`` is dotted (``twinlock.core.cbor``); ``path`` is relative to the repository."""

    name: str
    path: str
    tree: ast.Module


class Import(NamedTuple):
    """An absolute import: ``target`` is the dotted module that is imported from."""

    target: str
    names: tuple[str, ...]
    line: int


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package, parsed once."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        dotted = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(dotted).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        found.append(Module(name, str(path.relative_to(ROOT)), tree))
    return tuple(found)


def imports(module: Module) -> Iterator[Import]:
    """Every import of a module, also those inside functions and under TYPE_CHECKING."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno)
        elif isinstance(node, ast.ImportFrom):
            yield Import(_absolute(module, node), tuple(a.name for a in node.names), node.lineno)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    is_package = module.path.endswith("__init__.py")
    parts = module.name.split(".")
    kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*kept, node.module] if node.module else kept)


def targets(entry: Import) -> tuple[str, ...]:
    """The module imported from, and each imported name as if it were a module of its own.

    ``from twinlock import token`` counts as an import of ``twinlock.token``.
    """
    return (entry.target, *(f"{entry.target}.{name}" for name in entry.names))
