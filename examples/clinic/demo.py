"""``make demo-web``: the clinic and an agent's origin, with people to sign in as.

python -m examples.clinic.demo                 start; everything lies in ./demo-web
python -m examples.clinic.demo --check         try everything, in Chromium too if it is here
python -m examples.clinic.demo --reset         forget everything first
python -m examples.clinic.demo --database postgresql://user@host/name
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import create_async_engine

from examples.clinic import check, world
from examples.clinic.app import create_app
from examples.clinic.directions import directions
from examples.clinic.seeding import drop_tables, seed
from examples.clinic.serving import Ports, Sites, listen
from examples.clinic.world import ClinicWorld
from twinlock.errors import TwinlockError
from twinlock.integrations.agent_site import AgentSite, built_agent
from twinlock.server.asynchronous import AsyncVault
from twinlock.server.setup import deployment_card

PATIENTS = 50


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; ``folder`` None stands for a temporary one."""

    folder: Path
    database: str | None
    ports: Ports
    reset: bool
    check: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="demo-web", description="Twinlock on a clinic's pages.")
    parser.add_argument("--folder", type=Path, help="where everything lies (demo-web)")
    parser.add_argument("--database", help="a postgresql:// URL; without it SQLite in the folder")
    parser.add_argument("--port", type=int, default=8400, help="the clinic's port (8400)")
    parser.add_argument("--agent-port", type=int, default=8401, help="the agent's port (8401)")
    parser.add_argument("--reset", action="store_true", help="forget the last demo first")
    parser.add_argument("--check", action="store_true", help="try everything, and end")
    given = parser.parse_args(arguments)
    ports = Ports(given.port, given.agent_port)
    try:
        if given.check:
            with tempfile.TemporaryDirectory() as temporary:
                folder = given.folder or Path(temporary) / "clinic"
                return _checked(Options(folder, given.database, Ports(0, 0), given.reset, True))
        folder = given.folder or Path("demo-web")
        asyncio.run(_serve(Options(folder, given.database, ports, given.reset, False)))
    except TwinlockError as error:
        print(f"demo-web stopped: {error}", file=sys.stderr)
        return 1
    return 0


def _checked(options: Options) -> int:
    checks = asyncio.run(_serve(options))
    for what, seen, held in checks:
        print(f"{'ok    ' if held else 'FAILED'}  {what}: {seen}")
    count = sum(row.held for row in checks)
    print(f"demo-web: {count} of {len(checks)} checks held")
    return 0 if checks and count == len(checks) else 1


async def _serve(options: Options) -> list[check.Check]:
    """Make or find the world, serve it until it is stopped, and return what was checked."""
    clinic_socket, agent_socket = listen(options.ports.clinic), listen(options.ports.agent)
    ports = Ports(clinic_socket.getsockname()[1], agent_socket.getsockname()[1])
    # What may be missing is said before anything is made.
    built_agent()
    made = await _world(options)
    vault = await AsyncVault.connect(made.config)
    agent = AgentSite(
        origins=[ports.clinic_origin],
        title="Lindenhof Clinic: your agent",
        deployment=deployment_card(vault.vault.config),
    )
    engine = create_async_engine(made.database)
    try:
        clinic = create_app(
            vault, engine, origin=ports.clinic_origin, agent_origin=ports.agent_origin
        )
        sites = Sites([(clinic, clinic_socket), (agent, agent_socket)])
        serving = asyncio.create_task(sites.serve())
        await sites.started()
        checks: list[check.Check] = []
        if options.check:
            checks = await asyncio.to_thread(check.run, made, ports)
            sites.stop()
        else:
            sites.stop_on_signals()
            print(directions(made, ports), flush=True)
        await serving
        return checks
    finally:
        await engine.dispose()
        await vault.close()


async def _world(options: Options) -> ClinicWorld:
    if world.exists(options.folder) and not options.reset:
        return world.reopen(options.folder)
    print(
        f"Making a token, three members and {PATIENTS} patients in {options.folder} …", flush=True
    )
    world.remove(options.folder)
    if options.database is not None and options.reset:
        await asyncio.to_thread(drop_tables, options.database)
    made = await asyncio.to_thread(world.found, options.folder, options.database)
    await seed(made, PATIENTS)
    world.finish(made)
    return made


if __name__ == "__main__":
    sys.exit(main())
