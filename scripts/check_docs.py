"""Checks the documentation: links, code blocks, the error table, and requirements without a test.

- Relative links and their ``#anchors`` in every Markdown file must lead somewhere.
- A block fenced as ``python`` must compile. One fenced as ``python run`` must also run: the blocks
  of one page run in order, as one program, in an empty folder.
- docs/errors.md must be what scripts/list_errors.py makes of the source.
- Requirements of docs/spec.md without a test are listed; see scripts/untested.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import list_errors
import untested

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?(?P<target>[^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*#*$")
ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
RUN_SECONDS = 120


class Block(NamedTuple):
    """One fenced block: the words after the fence, its first line's number, its text."""

    info: str
    line: int
    text: str


class Page(NamedTuple):
    """A Markdown file: its prose lines (fenced blocks blanked) and its fenced blocks."""

    prose: list[str]
    blocks: list[Block]


def read_page(text: str) -> Page:
    """Split Markdown into prose and fenced blocks; line numbers of the prose are kept."""
    prose: list[str] = []
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = FENCE.match(line)
        if opened is None and match:
            opened, body = match, []
        elif opened is not None and match and _closes(opened, match):
            info = opened["info"].strip()
            blocks.append(Block(info, number - len(body), "\n".join(body) + "\n"))
            opened = None
        elif opened is not None:
            body.append(line.removeprefix(opened["indent"]))
        else:
            prose.append(line)
            continue
        prose.append("")
    return Page(prose, blocks)


def _closes(opened: re.Match[str], match: re.Match[str]) -> bool:
    return match["fence"].startswith(opened["fence"]) and not match["info"].strip()


def anchors(page: Page) -> set[str]:
    """Return the anchors of a page, by GitHub's rule: lower case, no punctuation, hyphens."""
    found: set[str] = set()
    for line in page.prose:
        found.update(ANCHOR.findall(line))
        match = HEADING.match(line)
        if match:
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match["title"]).lower()
            slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            candidates = (slug if n == 0 else f"{slug}-{n}" for n in range(100))
            found.add(next(name for name in candidates if name not in found))
    return found


def broken_links(path: Path, page: Page) -> Iterator[str]:
    """Yield a line for each relative link or anchor of ``path`` that leads nowhere."""
    for number, line in enumerate(page.prose, start=1):
        for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
            target, _, anchor = match["target"].partition("#")
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            there = (path.parent / target).resolve() if target else path
            if not there.exists():
                yield f"{path.relative_to(ROOT)}:{number}: {target} does not exist"
            elif anchor and there.suffix == ".md":
                known = anchors(read_page(there.read_text(encoding="utf-8")))
                if anchor not in known:
                    yield f"{path.relative_to(ROOT)}:{number}: {target}#{anchor} does not exist"


def broken_code(path: Path, page: Page) -> Iterator[str]:
    """Yield a line for each Python block that does not compile, or page that does not run."""
    name = path.relative_to(ROOT)
    program: list[str] = []
    for block in page.blocks:
        words = block.info.split()
        if words[:1] != ["python"]:
            continue
        try:
            compile(block.text, f"{name}:{block.line}", "exec")
        except SyntaxError as error:
            yield f"{name}:{block.line}: {error}"
            continue
        if "run" in words:
            # Blank lines in front make a traceback's line numbers those of the page.
            program += [""] * (block.line - 1 - len(program)) + block.text.splitlines()
    if program:
        yield from _run(path, "\n".join(program) + "\n")


def _run(path: Path, program: str) -> Iterator[str]:
    name = path.relative_to(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        # Not the page's bare name: docs/sqlalchemy.md must not hide the package sqlalchemy.
        script = Path(folder) / f"page_{path.stem}.py"
        script.write_text(program, encoding="utf-8")
        try:
            subprocess.run(
                [sys.executable, str(script)],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            yield f"{name}: its code does not run:\n{error.stderr}"
        except subprocess.TimeoutExpired:
            yield f"{name}: its code ran for more than {RUN_SECONDS} s"


def pages(root: Path) -> list[Path]:
    """Return the Markdown files of the repository."""
    top = sorted(root.glob("*.md"))
    folders = ("docs", "examples", "bench", "attacks", "vectors", "tests", "web", "native")
    deeper = (sorted((root / folder).rglob("*.md")) for folder in folders)
    return [
        path
        for path in [*top, *(page for folder in deeper for page in folder)]
        if "node_modules" not in path.parts
    ]


def main() -> int:
    """Print what is wrong. Returns the exit code."""
    said: list[str] = []
    for path in pages(ROOT):
        page = read_page(path.read_text(encoding="utf-8"))
        said += broken_links(path, page)
        said += broken_code(path, page)
    for line in said:
        print(line, file=sys.stderr)
    failed = bool(said)
    failed |= bool(list_errors.main(["--check"]))
    failed |= bool(untested.main())
    print(f"pages: {len(pages(ROOT))}, problems: {len(said)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
