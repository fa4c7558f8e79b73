"""What the demo prints: where to click, who may sign in, and what to try."""

from __future__ import annotations

from pathlib import Path

from examples.clinic.people import PEOPLE
from examples.clinic.serving import ADDRESS, CLINIC_HOST, Ports
from examples.clinic.sign_in import COOKIE
from examples.clinic.world import ClinicWorld


def directions(world: ClinicWorld, ports: Ports) -> str:
    """Return the text for the terminal."""
    home = _short(world.home)
    lines = [
        "",
        f"  The clinic         {ports.clinic_origin}",
        f"  The agent's origin {ports.agent_origin}   (the clinic opens it for you)",
        "",
        "  Sign in with user name and password; then press “Open your agent”, choose both files,",
        "  and unlock with the passphrase.",
        "",
    ]
    for person in PEOPLE:
        lines += [
            f"  {person.username:<6} {person.full_name}, {person.role}",
            f"         password    {person.password}",
            f"         passphrase  {person.passphrase}",
            f"         files       {home / person.username}.member  {home / person.username}.key",
        ]
    lines += [
        "",
        "  What to try",
        "  1. weber: the list of cardiology fills in by itself. One record is “not authentic”:",
        "     somebody with database access put another patient's row there.",
        "  2. weber: “Add a passkey” in the agent's window, with a fingerprint or security key.",
        "     Sign out, lock the agent: from now on one touch signs in and unlocks.",
        "  3. weber, all wards: diagnoses of surgery stay sealed. kim sees it the other way round.",
        "  4. weber: open a patient, edit the note. Only that field is sealed anew.",
        "  5. adler: the agent asks for a click, each time.",
        "  6. Lock the agent in its window, and load the list again.",
        "  7. Steal the cookie (the browser's developer tools, Application, Cookies):",
        f"     curl -i --resolve {CLINIC_HOST}:{ports.clinic}:{ADDRESS} \\",
        f"       -b '{COOKIE}=...' '{ports.clinic_origin}/api/patients?ward=cardiology'",
        "     It asks for a release, and has no agent to give one.",
        "",
        "  Ctrl-C stops it. --reset starts anew.",
        "",
    ]
    return "\n".join(lines)


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
