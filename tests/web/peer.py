"""The TypeScript agent, driven over standard input and output (web/test/core/driver.ts)."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.server.world import World

WEB = Path(__file__).resolve().parent.parent.parent / "web"
BUNDLER = WEB / "node_modules" / ".bin" / "esbuild"


class PeerRefusedError(Exception):
    """What the TypeScript agent refused, with the code that it gave."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer["code"], answer["message"])
        self.code: str = answer["code"]
        self.reason: str | None = answer.get("reason")


def missing() -> str:
    """What this machine lacks for running the TypeScript agent; empty when nothing."""
    if shutil.which("node") is None:
        return "Node.js is not installed"
    return "" if BUNDLER.exists() else "web/node_modules is not installed (npm ci)"


def bundled(source: str, folder: Path) -> Path:
    """Bundle a program of web/ for Node.js and return its path."""
    target = folder / "driver.mjs"
    options = ["--bundle", "--format=esm", "--platform=node", "--target=es2022"]
    command = [str(BUNDLER), source, *options, f"--outfile={target}", "--log-level=warning"]
    subprocess.run(command, cwd=WEB, check=True)
    return target


@dataclass
class Peer:
    """A process that holds TypeScript agents. Use it as a context manager."""

    program: Path
    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", str(self.program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0
        self._process.stdout.close()

    def call(self, name: str, **given: Any) -> Any:
        """Make one call. Raises PeerRefusedError."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"call": name, **_plain(given)}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "code" in answer:
            raise PeerRefusedError(answer)
        return answer["value"]

    def member(self, world: World, name: str, **options: Any) -> PeerAgent:
        """Unlock a member of a deployment from its files as they are, at that deployment's time."""
        folder = world.founding.folder
        self.call("clock", now=world.clock())
        files = [(folder / f"{name}.{kind}").read_bytes() for kind in ("member", "key")]
        return self.unlock(*files, **options)

    def unlock(self, state: bytes, key: bytes | None, **options: Any) -> PeerAgent:
        """Unlock a member from the bytes of its files."""
        given = options if key is None else {"key": key, **options}
        return PeerAgent(self, self.call("unlock", state=state, **given)["agent"])


@dataclass(frozen=True)
class PeerAgent:
    """One unlocked TypeScript agent."""

    peer: Peer
    number: int

    def call(self, name: str, **given: Any) -> Any:
        """Make one call of this agent. Raises PeerRefusedError."""
        return self.peer.call(name, agent=self.number, **given)

    def hello(self, session: bytes | None = None) -> bytes:
        """Return the agent's hello."""
        given = {} if session is None else {"session": session}
        return bytes.fromhex(self.call("hello", **given))

    def release(self, bundle: bytes, **options: Any) -> bytes:
        """Return the agent's signed release."""
        return bytes.fromhex(self.call("release", bundle=bundle, **options)["release"])

    def state(self) -> bytes:
        """Return the agent's state, to be stored."""
        return bytes.fromhex(self.call("state"))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
