"""A desktop session without a screen: a message bus and GNOME's keyring, for one test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.deployment import eventually

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""

_READY = """
import secretstorage
from contextlib import closing
with closing(secretstorage.dbus_init()) as bus:
    assert not secretstorage.get_default_collection(bus).is_locked()
"""

_LOCK = """
import secretstorage
from contextlib import closing
with closing(secretstorage.dbus_init()) as bus:
    secretstorage.get_default_collection(bus).lock()
"""


@dataclass(frozen=True)
class Desktop:
    """The session's environment: what a program needs to find the bus, and no other keyring."""

    env: dict[str, str]

    def lock(self) -> None:
        """Lock the keyring. There is no screen, so every prompt to unlock it is dismissed."""
        assert self.python(_LOCK).returncode == 0

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the session."""
        command = [sys.executable, "-c", code]
        environment = {**os.environ, **self.env}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def desktop(folder: Path) -> Iterator[Desktop]:
    """Begin a session whose login keyring is unlocked; it ends with the block."""
    bus, daemon = (os.environ.get(f"TWINLOCK_{name}") for name in ("DBUS_DAEMON", "GNOME_KEYRING"))
    if not bus or not daemon:
        pytest.skip("no gnome-keyring here: run scripts/bootstrap dev")
    env = {
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
        "HOME": str(folder / "home"),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
    }
    for name in ("home", "data", "config", "cache", "run"):
        (folder / name).mkdir(mode=0o700)
    (folder / "bus.xml").write_text(_BUS.format(socket=folder / "bus"))
    keyring = (daemon, "--foreground", "--unlock", "--components=secrets")
    with (
        _running(folder, env, bus, f"--config-file={folder}/bus.xml", "--nofork", "--nopidfile"),
        _after(folder / "bus"),
        _running(folder, env, *keyring, given=b"the login password"),
    ):
        session = Desktop(env)
        eventually(lambda: session.python(_READY).returncode == 0)
        yield session


@contextmanager
def _after(path: Path) -> Iterator[None]:
    eventually(path.exists)
    yield


@contextmanager
def _running(
    folder: Path, env: dict[str, str], *command: str, given: bytes = b""
) -> Iterator[None]:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, env={**environment, **env}, stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    try:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
