"""Makes docs/errors.md from the source: every stable error code, its family, message and hint.

    python scripts/list_errors.py           write docs/errors.md
    python scripts/list_errors.py --check   fail when the file differs from the source

Codes are the first argument of CallerError, DataError, EnvError and their subclasses' calls, and
must be written out as strings where they are raised: a code that is computed cannot be looked up.
The browser's code (web/src) has one class of error instead of three; codes that it shares with
Python mean the same, those of its own stand in a table of their own.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "twinlock"
BROWSER_SOURCE = ROOT / "web" / "src"
TARGET = ROOT / "docs" / "errors.md"
CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\.[a-z0-9]+(-[a-z0-9]+)*")
FAMILIES = {
    "CallerError": "The caller acts: an argument, a configuration, a permission",
    "DataError": "Bytes are not what they must be: a row, a file, a message",
    "EnvError": "The token, the database or the file system failed",
}
LITERAL = r"""(?:"((?:\\.|[^"\\])*)"|`((?:\\.|[^`\\])*)`|\w+)"""
BROWSER_ERROR = re.compile(
    rf"""new \w+\(\s*"([a-z-]+\.[a-z0-9-]+)",\s*{LITERAL}(?:,\s*{LITERAL})?"""
)
HEAD = """# Errors

Every error that Twinlock raises on purpose has a stable code. Match the code, never the message.
The family says whose turn it is. Made from the source by `scripts/list_errors.py`; `…` stands for
a value that is filled in.
"""


class Raised(NamedTuple):
    """One place that makes an error. ``code`` is empty when it is not a literal string."""

    family: str
    code: str
    message: str
    hint: str
    where: str


def _text(node: ast.expr | None) -> str:
    """Return a literal's text, with an ellipsis for what is filled in when the program runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return "".join(str(part) for part in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return "…" if node is not None else ""


def _codes(node: ast.expr) -> list[str]:
    """Return the literal codes of a first argument; ``a if c else b`` gives two."""
    if isinstance(node, ast.IfExp):
        return _codes(node.body) + _codes(node.orelse)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return [""]


def _families(trees: Iterable[ast.AST]) -> dict[str, str]:
    """Return the family of every error class by its name, subclasses of subclasses included."""
    families = {name: name for name in FAMILIES}
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for _ in classes:
        for node in classes:
            for base in node.bases:
                if isinstance(base, ast.Name) and base.id in families:
                    families.setdefault(node.name, families[base.id])
    return families


def _calls(tree: ast.AST, families: dict[str, str]) -> Iterator[tuple[str, ast.Call]]:
    """Yield what makes an error: calls of its class, and of ``super().__init__`` inside one.

    A subclass may fix its code itself, so of its calls only those with a literal code count.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            if name in FAMILIES or (name in families and _has_literal_code(node)):
                yield families[name], node
        elif isinstance(node, ast.ClassDef) and node.name in families:
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and _is_super_init(call) and _has_literal_code(call):
                    yield families[node.name], call


def _is_super_init(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "super().__init__"


def _has_literal_code(call: ast.Call) -> bool:
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and isinstance(first.value, str)


def raised(source: Path) -> list[Raised]:
    """Return every place under ``source`` that makes an error of the three families."""
    found: list[Raised] = []
    paths = sorted(source.rglob("*.py"))
    trees = {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in paths}
    families = _families(trees.values())
    for path, tree in trees.items():
        for family, call in _calls(tree, families):
            keywords = {keyword.arg: keyword.value for keyword in call.keywords}
            first = call.args[0] if call.args else keywords.get("code", ast.Constant(None))
            message = call.args[1] if len(call.args) > 1 else keywords.get("message")
            where = f"{path.relative_to(source.parent)}:{call.lineno}"
            found += [
                Raised(family, code, _text(message), _text(keywords.get("hint")), where)
                for code in _codes(first)
            ]
    return found


def raised_in_browser(source: Path) -> list[Raised]:
    """Return the places under ``source`` that make an error in TypeScript, found by their form."""
    found: list[Raised] = []
    for path in sorted(source.rglob("*.ts")):
        text = path.read_text(encoding="utf-8")
        for match in BROWSER_ERROR.finditer(text):
            code, *literals = match.groups(default="")
            message, hint = (_filled("".join(literals[at : at + 2])) for at in (0, 2))
            where = f"{path.relative_to(source.parent)}:{text.count(chr(10), 0, match.start()) + 1}"
            found.append(Raised("Browser", code, message or "…", hint, where))
    return found


def _filled(text: str) -> str:
    """Return a literal's text, with an ellipsis for what a template fills in."""
    return re.sub(r"\$\{[^}]*\}", "…", text).replace('\\"', '"')


def problems(found: list[Raised]) -> list[str]:
    """Return what keeps the list from being a contract: computed, malformed, two-faced codes."""
    said: list[str] = []
    families: dict[str, str] = {}
    for item in found:
        if not item.code:
            said.append(f"{item.where}: the code is not written out as a string")
        elif not CODE.fullmatch(item.code):
            said.append(f"{item.where}: {item.code!r} is not of the form family.subject")
        elif families.setdefault(item.code, item.family) != item.family:
            said.append(f"{item.where}: {item.code} is a {families[item.code]} elsewhere")
    return said


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def table(found: list[Raised], in_browser: list[Raised]) -> str:
    """Return docs/errors.md. Of several places that raise one code, the first one's words count."""
    shared = {item.code for item in found}
    found = found + [item for item in in_browser if item.code not in shared]
    lines = [HEAD]
    for family, meaning in {**FAMILIES, "Browser": "Raised by the browser's code alone"}.items():
        first: dict[str, Raised] = {}
        for item in found:
            if item.family == family and item.code:
                first.setdefault(item.code, item)
        lines += [f"## {family}\n", f"{meaning}.\n"]
        lines += ["| code | message | what to do |", "|---|---|---|"]
        lines += [
            f"| `{code}` | {_cell(item.message)} | {_cell(item.hint)} |"
            for code, item in sorted(first.items())
        ]
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Write the file, or compare it. Returns the exit code."""
    found = raised(SOURCE)
    said = problems(found)
    text = table(found, raised_in_browser(BROWSER_SOURCE))
    if "--check" in arguments:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            said.append("docs/errors.md differs from the source: run scripts/list_errors.py")
    else:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(text, encoding="utf-8")
    for line in said:
        print(line, file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
