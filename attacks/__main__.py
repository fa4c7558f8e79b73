"""``python -m attacks``: run the attacks, write attacks/report.json, print a table.

    python -m attacks                 all, on SQLite and on PostgreSQL
    python -m attacks --only ID       one (repeatable; a beginning of the id is enough)
    python -m attacks --claim KEY   those of one row of the claims table (repeatable)
    python -m attacks --sqlite-only   leave PostgreSQL out
    python -m attacks --list          name them

PostgreSQL is found in TWINLOCK_TEST_POSTGRES_URL; without that variable a temporary cluster is
started by scripts/with-postgres. Fails when an attack broke something, when one succeeded in no
weakened build, or when PostgreSQL was to be tried and is not there.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from attacks.claims import CLAIMS
from attacks.harness import REGISTRY, Attack
from attacks.runner import import_attacks, run_store
from attacks.table import print_table, write_report

ROOT = Path(__file__).parent.parent
_POSTGRES = "TWINLOCK_TEST_POSTGRES_URL"


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
    jobs = [("softhsm+sqlite", "", [item.id for item in chosen])]
    if postgres:
        on_postgres = [item.id for item in chosen if item.databases]
        jobs.append(("softhsm+postgresql", postgres, on_postgres))
    # A process for each store: SoftHSM's token belongs to a process, and there are two cores.
    with ProcessPoolExecutor(len(jobs), mp_context=get_context("spawn")) as pool:
        running = [pool.submit(run_store, *job) for job in jobs]
        results = [result for future in running for result in future.result()]
    write_report(results, options.report, whole=not options.only and not options.claim)
    print_table(results)
    missing = not postgres and not options.sqlite_only
    if missing:
        print(f"PostgreSQL: NOT RUN, because {_POSTGRES} is empty (no PostgreSQL found).")
    return 1 if missing or not results or not all(result.ok for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m attacks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", action="append", default=[], metavar="ID")
    parser.add_argument("--claim", action="append", default=[], metavar="KEY", choices=CLAIMS)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--sqlite-only", action="store_true")
    parser.add_argument("--report", type=Path, default=ROOT / "attacks" / "report.json")
    return parser.parse_args()


def _chosen(only: list[str], claims: list[str]) -> list[Attack]:
    ordered = [REGISTRY[key] for key in sorted(REGISTRY)]
    if only:
        ordered = [item for item in ordered if item.id.startswith(tuple(only))]
    return [item for item in ordered if not claims or item.claim in claims]


def _postgres_url() -> str:
    url = os.environ.get(_POSTGRES)
    if url is None:
        # Run again inside a cluster of our own; it sets the variable, empty without PostgreSQL.
        script = ROOT / "scripts" / "with-postgres"
        os.execv(script, [str(script), sys.executable, "-m", "attacks", *sys.argv[1:]])
    return url


if __name__ == "__main__":
    sys.exit(main())
