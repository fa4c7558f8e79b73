"""The results for machines (report.json) and for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from attacks.claims import CLAIMS
from attacks.harness import Result


def write_report(results: Sequence[Result], path: Path, *, whole: bool) -> None:
    """Write the report; a run of some attacks replaces those alone."""
    fresh = [result.report() for result in results]
    if not whole and path.exists():
        done = {(row["id"], row["on"]) for row in fresh}
        old = json.loads(path.read_text())
        fresh = [row for row in old if (row["id"], row["on"]) not in done] + fresh
    path.write_text(json.dumps(fresh, indent=1) + "\n")


def print_table(results: Sequence[Result]) -> None:
    """Print one line per attack and store, under the claim that it tries."""
    for claim in CLAIMS.values():
        rows = [result for result in results if result.attack.claim == claim.key]
        if not rows:
            continue
        print(f"\n{claim.attacker}\n    may learn: {claim.yields}")
        print(f"    {'attack':<42}{'store':<12}{'attempts':>9}{'broken':>8}{'when mutated':>14}")
        for row in rows:
            numbers = ",".join(str(number) for number in row.attack.attacks)
            name = f"{row.id} ({numbers})" if numbers else row.id
            store = row.on.removeprefix("softhsm+")
            flag = "" if row.ok else "   NOT RUN" if row.not_run else "   FAILED"
            print(
                f"    {name:<42}{store:<12}{row.attempts:>9}{row.broken:>8}"
                f"{row.broken_when_mutated:>14}{flag}"
            )
            for what, value in row.measured:
                print(f"        {what}: {value}")
    run = [result for result in results if not result.not_run]
    failed = [result for result in run if not result.ok]
    tried = sum(result.attempts for result in run)
    print(f"\n{len(run)} attacks, {tried} attempts, {len(failed)} failed")
    if len(run) < len(results):
        print(f"{len(results) - len(run)} attacks NOT RUN")
