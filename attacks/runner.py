"""Runs attacks: on one real world that is set back after each, and on weakened builds."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from sqlalchemy import create_engine, make_url, text

import attacks
from attacks.building import build
from attacks.harness import REGISTRY, Attack, Mutation, Result, Trial
from attacks.world import TokenPlace, World

_numbers: Final = itertools.count(1)


def import_attacks() -> None:
    """Import every module of this package, so that its attacks register."""
    for module in iter_modules(attacks.__path__):
        if module.name != "__main__":
            import_module(f"attacks.{module.name}")


def run_store(on: str, postgres: str, ids: Sequence[str]) -> list[Result]:
    """Run attacks on one kind of store, with a token of this process (which has no other)."""
    import_attacks()
    # In memory where there is such a folder: the store syncs each commit to the disk.
    memory = next((path for path in (Path("/dev/shm"),) if os.access(path, os.W_OK)), None)
    with tempfile.TemporaryDirectory(prefix="twinlock-attacks.", dir=memory) as folder:
        runner = Runner(TokenPlace.make(Path(folder)), show=_show)
        return runner.run(on, postgres or None, [REGISTRY[key] for key in ids])


def _show(line: str) -> None:
    print(line, flush=True)


class Runner:
    """Runs attacks with one token. ``show`` gets a line per attack."""

    def __init__(self, token_place: TokenPlace, *, show: Callable[[str], None]) -> None:
        self._token_place = token_place
        self._show = show

    def run(self, on: str, postgres: str | None, chosen: Sequence[Attack]) -> list[Result]:
        """Run attacks on one kind of store."""
        results: list[Result] = []
        if not chosen:
            return results
        with ExitStack() as stack:
            shared = stack.enter_context(self._world(postgres))
            for item in chosen:
                results.append(self._attack(item, on, postgres, shared))
                self._show(_line(results[-1]))
        return results

    def _attack(self, item: Attack, on: str, postgres: str | None, shared: World) -> Result:
        began = time.monotonic()
        real = Trial(weakened=False)
        weak: list[Trial] = []
        error = ""
        try:
            self._try(item, real, None, postgres, shared)
            for mutation in item.mutations:
                weak.append(Trial(weakened=True))
                self._try(item, weak[-1], mutation, postgres, shared)
        except Exception:  # noqa: BLE001 - an attack's own failure is a result, not the end of all
            error = traceback.format_exc()
        proved = {kind for trial in weak for kind in trial.broken}
        return Result(
            item.id,
            on,
            real.attempts.total(),
            real.broken.total(),
            sum(trial.broken.total() for trial in weak),
            tuple(sorted(set(real.attempts) - proved)),
            tuple(sorted({refusal for trial in weak for refusal in trial.refused})),
            time.monotonic() - began,
            error,
            measured=tuple(real.measured.items()),
        )

    def _try(
        self,
        item: Attack,
        trial: Trial,
        mutation: Mutation | None,
        postgres: str | None,
        shared: World,
    ) -> None:
        """Run once; what an attack changed is set back afterwards in the real build."""
        if mutation is not None and mutation.rebuild:
            with mutation.apply(), self._world(postgres) as world:
                item.run(world, trial)
            return
        with ExitStack() as stack:
            world = stack.enter_context(self._world(postgres)) if item.fresh else shared
            try:
                with mutation.apply() if mutation is not None else ExitStack():
                    item.run(world, trial)
            finally:
                world.reset()

    def _world(self, postgres: str | None) -> AbstractContextManager[World]:
        if postgres is None:
            return build(self._token_place, "sqlite:///{folder}/store.db")
        return self._on_postgres(postgres)

    @contextmanager
    def _on_postgres(self, url: str) -> Iterator[World]:
        name = f"attacked_{next(_numbers)}"
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"create database {name}"))
        own = make_url(url).set(database=name).render_as_string(hide_password=False)
        try:
            with build(self._token_place, own.replace("{", "{{").replace("}", "}}")) as world:
                yield world
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"drop database {name} with (force)"))
            engine.dispose()


def _line(result: Result) -> str:
    state = "ok" if result.ok else "FAILED"
    counts = f"{result.attempts} tried, {result.broken} broken, {result.broken_when_mutated} weak"
    store = result.on.removeprefix("softhsm+")
    lines = [f"{state:<7}{store:<12}{result.id:<34}{counts}  {result.seconds:.1f} s"]
    if result.unproven:
        lines.append(f"       succeeded in no weakened build: {', '.join(result.unproven)}")
        lines += [f"       there: {kind}: {why}" for kind, why in result.refusals_when_mutated]
    if result.error:
        lines.append(result.error)
    return "\n".join(lines)
