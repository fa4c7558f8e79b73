"""``make bench`` and ``make bench-quick``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.adoption_speed import adoption_speed
from bench.figures import Figure
from bench.measures import Effort, measure_all
from bench.network import calls_per_record, page_of_50
from bench.plots import draw
from bench.unlock import unlock
from bench.web import web
from bench.world import make_world

HERE = Path(__file__).parent


def main() -> int:
    """Measure, write the results, print them."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under a minute")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--web", action="store_true", help="the web page alone; others' stay")
    part.add_argument("--unlock", action="store_true", help="unlocking alone; others' stay")
    options = parser.parse_args()
    whole = not (options.web or options.unlock)
    effort = Effort.quick() if options.quick else Effort.full()
    console = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="twinlock-bench-") as folder:
        world = make_world(Path(folder))
        with console.status("measuring") as status:
            results: dict[str, Figure] = {}
            if whole:
                say = status.update
                results |= measure_all(world, effort, lambda what: say(f"measuring {what}"))
                status.update("measuring a token at the other end of a network")
                results["token_calls_per_record.rsa_oaep"] = calls_per_record(world, "rsa-oaep")
                results["token_calls_per_record.token_aes"] = calls_per_record(world, "token-aes")
                results["page50_rtt1ms.ms"] = page_of_50(world, effort.rounds)
                status.update("measuring how fast rows are adopted")
                results |= {} if options.quick else adoption_speed(world, effort.rounds)
            if whole or options.unlock:
                status.update("measuring what unlocking costs")
                results |= unlock(world, effort.rounds)
            if whole or options.web:
                status.update("measuring a page of a web application")
                results |= web(world, effort.rounds)
        world.vault.close()
    target = HERE / ("quick.json" if options.quick else "results.json")
    known = json.loads(target.read_text("utf-8")) if target.exists() else {}
    if whole:
        # The proof of `python -m bench.adoption` takes too long to be made anew each time.
        known = {name: found for name, found in known.items() if name.startswith("adopt.")}
    target.write_text(json.dumps(known | _document(results), indent=2) + "\n", encoding="utf-8")
    if whole and not options.quick:
        draw(results, HERE / "plots")
    _print(results)
    print(f"bench: {len(results)} figures in {target.relative_to(HERE.parent)}")
    return 0


def _document(results: Mapping[str, Figure]) -> dict[str, object]:
    figures: dict[str, object] = {name: found.to_json() for name, found in results.items()}
    return {"machine": f"{platform.machine()}, Python {platform.python_version()}"} | figures


def _print(results: Mapping[str, Figure]) -> None:
    table = Table(title="Figures", title_justify="left")
    for column in ("figure", "median", "spread (10th to 90th)", "unit", "aim"):
        table.add_column(column, justify="left" if column in ("figure", "unit", "aim") else "right")
    for name, found in results.items():
        spread = f"{found.low:.3g} to {found.high:.3g}"
        table.add_row(name, f"{found.median:.3g}", spread, found.unit, found.target)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
