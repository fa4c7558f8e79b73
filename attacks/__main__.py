"""``python -m attacks``: run the attacks, write attacks/report.json, print a table.

    python -m attacks                 all, on SQLite and on PostgreSQL
    python -m attacks --only ID       one (repeatable; a beginning of the id is enough)
    python -m attacks --claim KEY   those of one row of the claims table (repeatable)
    python -m attacks --sqlite-only   leave PostgreSQL out
    python -m attacks --no-browser    leave out what needs Node.js or Chromium
    python -m attacks --list          name them

PostgreSQL is found in TWINLOCK_TEST_POSTGRES_URL; without that variable a temporary cluster is
started by scripts/with-postgres. Fails when an attack broke something, when one succeeded in no
weakened build, or when something that was to be tried with (PostgreSQL, Node.js, Chromium) is not
there; the report then names the attacks that were not run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from attacks.claims import CLAIMS
from attacks.harness import REGISTRY, Attack, Result
from attacks.runner import import_attacks, run_store
from attacks.table import print_table, write_report
from attacks.tools import missing

ROOT = Path(__file__).parent.parent
_POSTGRES = "TWINLOCK_TEST_POSTGRES_URL"
_WEB = "softhsm+web"


def main() -> int:
    """Parse the arguments, run, and return the exit code."""
    options = _arguments()
    import_attacks()
    chosen = _chosen(options.only, options.claim)
    if options.list:
        for item in chosen:
            print(f"{item.id:<32} {item.claim:<18} {item.says}")
        return 0
    postgres = "" if options.sqlite_only else _postgres_url()
    left_out = [] if options.no_browser else _left_out(chosen)
    jobs = _jobs(chosen, postgres, browser=not options.no_browser)
    # A process for each store: SoftHSM's token belongs to a process, and there are two cores.
    with ProcessPoolExecutor(max(len(jobs), 1), mp_context=get_context("spawn")) as pool:
        running = [pool.submit(run_store, *job) for job in jobs]
        results = [result for future in running for result in future.result()] + left_out
    write_report(results, options.report, whole=not options.only and not options.claim)
    print_table(results)
    no_postgres = not postgres and not options.sqlite_only
    if no_postgres:
        print(f"PostgreSQL: NOT RUN, because {_POSTGRES} is empty (no PostgreSQL found).")
    return 1 if no_postgres or not results or not all(result.ok for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m attacks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", action="append", default=[], metavar="ID")
    parser.add_argument("--claim", action="append", default=[], metavar="KEY", choices=CLAIMS)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--sqlite-only", action="store_true")
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--report", type=Path, default=ROOT / "attacks" / "report.json")
    return parser.parse_args()


def _chosen(only: list[str], claims: list[str]) -> list[Attack]:
    ordered = [REGISTRY[key] for key in sorted(REGISTRY)]
    if only:
        ordered = [item for item in ordered if item.id.startswith(tuple(only))]
    return [item for item in ordered if not claims or item.claim in claims]


def _jobs(
    chosen: Sequence[Attack], postgres: str, *, browser: bool
) -> list[tuple[str, str, list[str]]]:
    """What each process tries: label, PostgreSQL's address or nothing, ids."""
    # What goes over HTTP needs no other store, and the two other processes have more to do.
    web = [item for item in chosen if item.needs or item.claim == "web-session"]
    plain = [item for item in chosen if item not in web]
    there = [item for item in web if not missing(item.needs) and (browser or not item.needs)]
    jobs = [("softhsm+sqlite", "", [item.id for item in plain])]
    if postgres:
        jobs.append(("softhsm+postgresql", postgres, [i.id for i in plain if i.databases]))
    jobs.append((_WEB, "", [item.id for item in there]))
    return [job for job in jobs if job[2]]


def _left_out(chosen: Sequence[Attack]) -> list[Result]:
    """Say which attacks cannot be tried here."""
    lacking = [(item, missing(item.needs)) for item in chosen if missing(item.needs)]
    for item, why in lacking:
        print(f"NOT RUN: {item.id}, because {why}")
    return [Result.left_out(item.id, _WEB, why) for item, why in lacking]


def _postgres_url() -> str:
    url = os.environ.get(_POSTGRES)
    if url is None:
        # Run again inside a cluster of our own; it sets the variable, empty without PostgreSQL.
        script = ROOT / "scripts" / "with-postgres"
        os.execv(script, [str(script), sys.executable, "-m", "attacks", *sys.argv[1:]])
    return url


if __name__ == "__main__":
    sys.exit(main())
