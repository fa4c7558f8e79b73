"""A PostgreSQL server of the test's own, in a temporary folder, on a Unix socket there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path


def find_programs() -> Path | None:
    """The folder with initdb: TWINLOCK_PG_BIN, else the newest of Debian's, else PATH."""
    on_path = shutil.which("initdb")
    candidates = [
        Path(os.environ.get("TWINLOCK_PG_BIN", "/nonexistent")),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        Path(on_path).parent if on_path else Path("/nonexistent"),
    ]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


class Cluster:
    """Starts on entering, is gone on leaving. PostgreSQL refuses root, so another user runs it."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="twinlock-pg-", dir="/tmp"))
        self._as: list[str] = []
        if os.getuid() == 0:
            user = _unprivileged_user()
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
            self._as = ["setpriv", *ids, "--clear-groups"]

    @property
    def url(self) -> str:
        return f"postgresql://twinlock@/postgres?host={self._folder}"

    def __enter__(self) -> Cluster:
        self._run("initdb", "--username=twinlock", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        settings = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "--wait", "--silent", f"--log={log}", f"--options={settings}")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode=immediate")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), "-D", str(self._folder / "data")]
        # To a file and not to a pipe, which the server would keep open.
        with (self._folder / "output").open("ab") as output:
            subprocess.run(
                [*command, *arguments],
                check=True,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
