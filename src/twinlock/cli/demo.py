"""``make demo``: the main job on a real table, and what a thief gets out of it.

    python -m twinlock.cli.demo [TABLE.csv] [--folder FOLDER]

Prints what happened as a table and, last, ``demo: N of N checks held``. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from twinlock.cli.demo_password import guess_password, sign_in_by_password
from twinlock.cli.demo_records import (
    audit,
    born_in_the_token,
    forgeries,
    members_open,
    removal,
    seal_table,
    thief,
    two_more_locks,
)
from twinlock.cli.demo_recovery import lose_and_recover
from twinlock.cli.demo_scram import sign_in_by_scram
from twinlock.cli.demo_stage import SourceTable, Stage, read_table
from twinlock.cli.demo_world import build_world
from twinlock.errors import TwinlockError

_CHAPTERS: Final[Sequence[Callable[[Stage], None]]] = (
    seal_table,
    members_open,
    two_more_locks,
    born_in_the_token,
    thief,
    forgeries,
    sign_in_by_password,
    guess_password,
    sign_in_by_scram,
    removal,
    lose_and_recover,
    audit,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="Twinlock on a real table.")
    parser.add_argument("table", nargs="?", default="examples/data/patients.csv", type=Path)
    parser.add_argument("--folder", default=Path("demo-run"), type=Path)
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        stage = _play(console, options.folder, read_table(options.table))
    except TwinlockError as error:
        Console(stderr=True).print(f"[red]demo stopped:[/red] {error}", highlight=False)
        return 1
    held = sum(check[2] for check in stage.checks)
    print(f"demo: {held} of {len(stage.checks)} checks held")
    return 0 if held == len(stage.checks) else 1


def _play(console: Console, folder: Path, source: SourceTable) -> Stage:
    """Do everything and print the table."""
    with console.status("A token, a store, four people and three groups …"):
        world = build_world(folder)
    stage = Stage(console, world, source)
    try:
        for chapter in _CHAPTERS:
            chapter(stage)
    finally:
        world.vault.close()
    stage.print()
    return stage


if __name__ == "__main__":
    sys.exit(main())
