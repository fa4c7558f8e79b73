"""The command line's voice: results on stdout, everything else on stderr, text made harmless."""

from __future__ import annotations

import getpass
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from twinlock.errors import CallerError

_WIDE: Final = 10_000
"""Where no terminal limits the width, no line is cut."""

Advance = Callable[[int], None]
"""Tells a progress bar how much further the work got."""


def visible(text: str) -> str:
    """Return ``text`` with every character escaped that could move or recolour a terminal.

    What records, purposes and file names say comes from others.
    """
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def one_line(text: str) -> str:
    """Return ``visible`` text in which line feeds are escaped too."""
    return visible(text).replace("\n", "\\n")


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


@dataclass(slots=True)
class Terminal:
    """How one command speaks. ``config`` is the configuration file that it was given.

    ``config_named``: an option or the environment says so, it is not only the usual name.
    """

    config: Path = Path("twinlock.toml")
    json: bool = False
    quiet: bool = False
    config_named: bool = False
    _warnings: list[str] = field(default_factory=list)
    _bar: Progress | None = None

    @property
    def _out(self) -> Console:
        return _console(stderr=False)

    @property
    def _err(self) -> Console:
        return _console(stderr=True)

    # --- results -----------------------------------------------------------------------------

    def result(self, data: Mapping[str, Any], *shown: RenderableType) -> None:
        """Give the command's one result: ``data`` with ``--json``, else ``shown``."""
        if self.json:
            warned = {"warnings": self._warnings} if self._warnings else {}
            write_stdout(json.dumps({**data, **warned}, ensure_ascii=False) + "\n")
            return
        for item in shown:
            self.print(item)

    def print(self, item: RenderableType) -> None:
        """Show something on stdout."""
        out = self._out
        if out.is_terminal:
            out.print(_safe(item), soft_wrap=isinstance(item, str | Text))
        else:
            write_stdout(self.rendered(item))

    def rendered(self, item: RenderableType) -> str:
        """Return what ``print`` would show, without colours and line breaks of its own."""
        into = io.StringIO()
        Console(file=into, width=_WIDE, markup=False, emoji=False).print(_safe(item))
        return "".join(f"{line.rstrip()}\n" for line in into.getvalue().splitlines())

    def say(self, *shown: RenderableType) -> None:
        """Say something beside the result; not with ``--quiet`` or ``--json``."""
        if not self.quiet and not self.json:
            for item in shown:
                self._err.print(_safe(item), soft_wrap=isinstance(item, str | Text))

    def warn(self, text: str) -> None:
        """Warn; with ``--json`` the warning stands in the result."""
        if self.json:
            self._warnings.append(text)
        else:
            line = Text.assemble(("warning: ", "bold yellow"), visible(text))
            self._err.print(line, soft_wrap=True)

    # --- questions ---------------------------------------------------------------------------

    def confirm(self, question: str) -> bool:
        """Ask on stderr, and read y or n from stdin; without an answer it is no."""
        if self.json:
            return False
        if self._bar is not None:
            # It would draw over the question.
            self._bar.stop()
        self._err.print(Text(f"{visible(question)} [y/N] "), end="", soft_wrap=True)
        answer = sys.stdin.readline()
        if not sys.stdin.isatty():
            # Nobody's Enter ended the line.
            self._err.print()
        if self._bar is not None:
            self._bar.start()
        return answer.strip().lower() in ("y", "yes")

    def ask_secret(self, prompt: str) -> str:
        """Ask without echo, on the terminal itself. Raises ``cli.no-terminal``."""
        if not sys.stdin.isatty():
            raise CallerError(
                "cli.no-terminal",
                f"There is no terminal to ask on: {prompt.rstrip(': ')}.",
                hint="Give it in an environment variable or a file; see --help.",
            )
        return getpass.getpass(prompt)

    # --- progress ----------------------------------------------------------------------------

    @contextmanager
    def progress(
        self, description: str, total: int | None = None, *, of_bytes: bool = False
    ) -> Iterator[Advance]:
        """Show a progress bar on stderr while the block runs, where a person can see it."""
        if self.quiet or self.json or not self._err.is_terminal:
            yield lambda _amount: None
            return
        counted: ProgressColumn = DownloadColumn() if of_bytes else MofNCompleteColumn()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            counted,
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._err, transient=True) as bar:
            task = bar.add_task(visible(description), total=total)
            self._bar = bar
            try:
                yield lambda amount: bar.advance(task, amount)
            finally:
                self._bar = None


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console


def _safe(item: RenderableType) -> RenderableType:
    return Text(visible(item)) if isinstance(item, str) else item


def write_stdout(text: str) -> None:
    """Write text to stdout as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


# --- layout --------------------------------------------------------------------------------------


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> Table:
    """Return a table of texts; every cell is made harmless."""
    made = Table(
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for column in columns:
        made.add_column(Text(one_line(column)), overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else _cell(cell) for cell in row))
    return made


def facts(rows: Sequence[tuple[str, object]]) -> Table:
    """Return names and values in two aligned columns."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value if isinstance(value, Text) else _cell(value))
    return made


def done(text: str) -> Text:
    """Return a line that says that something was done."""
    return Text.assemble(("✓ ", "bold green"), visible(text))


def next_steps(*commands: str) -> Text:
    """Return what to try next, one command a line."""
    lines = Text("Next:", style="bold")
    for command in commands:
        lines.append(f"\n  {visible(command)}", style="not bold")
    return lines


def _cell(value: object) -> Text:
    return Text(one_line("" if value is None else str(value)))
