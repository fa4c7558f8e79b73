"""Both implementations of the membership log come to the same end, whatever a log says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.web.peer import Peer, PeerRefusedError

ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = ("authority", "chain", "columns", "member", "policy", "rules", "state", "traits")


def recorded_logs(folder: Path) -> list[dict[str, Any]]:
    """Every log that the membership's tests replay, as the Python implementation judges it."""
    target = folder / "logs"
    tests = [f"tests/core/membership/test_{name}.py" for name in MODULES]
    options = ["-q", "-p", "tests.web.recording", "-p", "no:xdist", "-p", "no:cacheprovider"]
    environment = {**os.environ, "RECORDED_LOGS": str(target)}
    command = [sys.executable, "-m", "pytest", *options, *tests]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]


def judged(peer: Peer, given: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"value": peer.call("replay", **given)}
    except PeerRefusedError as error:
        return {"code": error.code, "reason": error.reason or ""}


def test_every_log_of_the_membership_tests_is_judged_alike(peer: Peer, tmp_path: Path) -> None:
    """R-LOG-1 to R-LOG-28, R-LOG-33 to R-LOG-42, R-VEC-2: states are equal byte for byte."""
    logs = recorded_logs(tmp_path)
    ends = Counter(log["outcome"].get("code", "accepted") for log in logs)
    assert len(ends) > 8, ends
    assert ends["accepted"] > 100
    assert ends["log.not-allowed"] > 100
    others = [
        (log["outcome"], answer)
        for log in logs
        if (answer := judged(peer, log["given"])) != log["outcome"]
    ]
    assert others == []
