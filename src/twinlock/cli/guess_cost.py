"""``twinlock guess-cost``: how long guessing passwords at the token takes."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from twinlock.cli.command import command
from twinlock.cli.server_side import configuration, connect, needing_server, open_store
from twinlock.cli.terminal import Terminal, table

_WINDOW: Final = 3600
_UNITS: Final = (
    ("years", 365.25 * 86400),
    ("days", 86400.0),
    ("hours", 3600.0),
    ("minutes", 60.0),
)


def guess_cost(
    terminal: Terminal,
    seconds: Annotated[
        float, typer.Option(metavar="N", min=0.1, max=600.0, help="Measure for N seconds each.")
    ] = 3.0,
) -> None:
    """Measure guesses per second through the HSM interface, and what passwords cost at that rate.

    This is what remains for whoever has taken database, server and HSM interface: a guess is one
    evaluation by the token. Beside it, the same within the limits of an honest server.

    [dim]twinlock guess-cost --seconds 10[/dim]
    """
    config = configuration(terminal)
    with needing_server():
        from twinlock.core.ports import KeyRole
        from twinlock.server.guess_cost import BITS, expected_seconds, measure
        from twinlock.server.setup import load_directory
    with open_store(config) as store:
        _, directory = load_directory(store, config, int(time.time()))
    key = directory.current(KeyRole.HARDENING)
    threads = sorted({1, config.sessions})
    token = connect(config, terminal)
    try:
        token.load_keys([key])
        with terminal.progress("Guessing"):
            rates = measure(token, key.kid, threads, seconds)
    finally:
        token.close()
    best = max(rate.per_second for rate in rates)
    # An attempt evaluates two points, and a client may test a password with each.
    allowed = 2 * config.hardening.key_per_hour / _WINDOW
    costs = [
        {
            "bits": bits,
            "seconds": expected_seconds(bits, best),
            "seconds_within_limits": expected_seconds(bits, allowed),
        }
        for bits in BITS
    ]
    data = {
        "kid": key.kid.hex(),
        "rates": [
            {"threads": r.threads, "evaluations": r.evaluations, "per_second": r.per_second}
            for r in rates
        ],
        "guesses_per_second": best,
        "guesses_per_second_within_limits": allowed,
        "costs": costs,
    }
    measured = [[str(r.threads), f"{r.per_second:,.0f}"] for r in rates]
    rows = [
        [f"{c['bits']} bits", _span(c["seconds"]), _span(c["seconds_within_limits"])] for c in costs
    ]
    terminal.result(
        data,
        table(["threads", "guesses per second"], measured),
        "",
        table(["password of", "at the token's speed", "within the limits"], rows),
        "Mean times to find one password, Argon2id not counted. It costs the guesser as much as a "
        "member for each guess, but on hardware of their own.",
    )


def _span(seconds: float) -> str:
    for name, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:,.1f} {name}"
    return f"{seconds:,.1f} seconds"


def add_to(app: typer.Typer, panel: str) -> None:
    """Register the command."""
    command(app, "guess-cost", rich_help_panel=panel)(guess_cost)
