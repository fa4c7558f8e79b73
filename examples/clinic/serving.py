"""Two sites in one process: the clinic, and the agent's origin beside it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from twinlock.errors import EnvError

ADDRESS: Final = "127.0.0.1"
CLINIC_HOST: Final = "clinic.localhost"
AGENT_HOST: Final = "agent.clinic.localhost"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where both sites listen. Names under ``localhost`` lead to this machine in every browser."""

    clinic: int = 8400
    agent: int = 8401

    @property
    def clinic_origin(self) -> str:
        """The clinic's origin."""
        return f"http://{CLINIC_HOST}:{self.clinic}"

    @property
    def agent_origin(self) -> str:
        """The agent's origin: the same site, another origin."""
        return f"http://{AGENT_HOST}:{self.agent}"


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(port: int) -> socket.socket:
    """Bind a port; 0 takes a free one. Raises EnvError ``clinic.port-busy``."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((ADDRESS, port))
    except OSError as error:
        bound.close()
        raise EnvError(
            "clinic.port-busy",
            f"Port {port} of this machine is in use, or may not be used.",
            hint="Stop what listens there, or choose others with --port and --agent-port.",
            retryable=True,
        ) from error
    return bound


class Sites:
    """Applications with the sockets that they listen on, served until ``stop``."""

    def __init__(self, sites: Sequence[tuple[ASGIApp, socket.socket]]) -> None:
        self._sockets = [bound for _, bound in sites]
        self._servers = [
            _Server(
                uvicorn.Config(
                    app, log_level="warning", access_log=False, timeout_graceful_shutdown=2
                )
            )
            for app, _ in sites
        ]

    async def serve(self) -> None:
        """Serve all of them until one ends or ``stop`` is called."""
        pairs = zip(self._servers, self._sockets, strict=True)
        await asyncio.gather(*(server.serve(sockets=[bound]) for server, bound in pairs))

    async def started(self) -> None:
        """Return when all of them answer."""
        while not all(server.started for server in self._servers):
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Have all of them end."""
        for server in self._servers:
            server.should_exit = True

    def stop_on_signals(self) -> None:
        """Have Ctrl-C and SIGTERM end them."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
