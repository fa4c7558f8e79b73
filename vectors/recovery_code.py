"""Recovery codes as they are printed and typed, and enrolments that they open."""

from __future__ import annotations

from collections.abc import Iterator

from twinlock.core.enrolment import enrol, member_keys
from twinlock.core.factors.recovery_code import RecoveryCodeFactor, print_recovery_code
from twinlock.core.primitives import Kem
from twinlock.core.secret import Secret
from vectors.factors import SEED, drawn
from vectors.forge import DEPLOYMENT
from vectors.form import OK, Vector
from vectors.recording import expand
from vectors.rewriting import rewriting

CODE = Secret(expand("recovery code", 16))
PRINTED = print_recovery_code(CODE).reveal()
MISTYPED = "factor.recovery-mistyped"


def vectors() -> Iterator[Vector]:
    """Yield the family's vectors."""
    yield from _texts()
    yield from _enrolments()


def _texts() -> Iterator[Vector]:
    groups, run = PRINTED.split("-"), PRINTED.replace("-", "")
    plain = print_recovery_code(Secret(b"\x00\x44\x32\x14\xc7\x42\x54\xb6" * 2)).reveal()
    cases = {
        "printed": (OK, "R-RECOVERY-1", "as it is printed", PRINTED, CODE),
        "zeros": (OK, "R-RECOVERY-1", "16 zero bytes", _of(bytes(16)), Secret(bytes(16))),
        "ones": (OK, "R-RECOVERY-1", "16 bytes of ff", _of(b"\xff" * 16), Secret(b"\xff" * 16)),
        "lower": (OK, "R-RECOVERY-2", "in lower case", PRINTED.lower(), CODE),
        "run": (OK, "R-RECOVERY-2", "in one piece", run, CODE),
        "lines": (OK, "R-RECOVERY-2", "in lines", " " + "\r\n\t".join(groups) + "\n", CODE),
        "dashes": (OK, "R-RECOVERY-2", "with wide dashes", " \u2013 ".join(groups), CODE),
        "split": (OK, "R-RECOVERY-2", "split elsewhere", f"{run[:7]} {run[7:19]}-{run[19:]}", CODE),
        "letters": (
            OK, "R-RECOVERY-2", "O for 0, and i and L for 1",
            plain.replace("0", "O").replace("1", "i", 1).replace("1", "L"),
            Secret(b"\x00\x44\x32\x14\xc7\x42\x54\xb6" * 2),
        ),
    }  # fmt: skip
    for name, (expect, requirement, why, text, code) in cases.items():
        yield _text(name, expect, requirement, why, text, {"code": code.reveal().hex()})
    # The data 0001 with a check character that fits: x^4 times 1, and the group's number 1.
    apart = "-".join(["0001H", *_of(bytes(16)).split("-")[1:]])
    wrong = {
        "character": ("a character of group 3 is another one", _changed(run, 11)),
        "check": ("the last character of group 7 is another one", _changed(run, 34)),
        "swapped": ("two neighbours of group 1 are exchanged", _swapped(run)),
        "groups": ("groups 2 and 5 are exchanged", _exchanged(groups, 1, 4)),
        "foreign": ("a U, which is in no code", run[:8] + "U" + run[9:]),
        "unicode": ("a Cyrillic letter that looks right", run[:8] + "\u0410" + run[9:]),
        "fold": ("a letter that becomes two in capitals", run[:8] + "\u00df" + run[9:]),
        "short": ("a character is missing", run[:-1]),
        "long": ("a character more", run + "0"),
        "missing": ("a group is missing", "-".join(groups[1:])),
        "empty": ("nothing", ""),
        "apart": ("each group fits, but not with the others", apart),
    }
    for name, (why, text) in wrong.items():
        yield _text(name, MISTYPED, "R-RECOVERY-3", why, text, None)


def _text(
    name: str, expect: str, requirement: str, why: str, text: str, output: dict[str, str] | None
) -> Vector:
    return Vector(
        f"recovery-code-{name}", "read-recovery-code", expect, requirement, why,
        {"text": text}, output,
    )  # fmt: skip


def _of(raw: bytes) -> str:
    return print_recovery_code(Secret(raw)).reveal()


def _changed(run: str, at: int) -> str:
    return run[:at] + ("7" if run[at] != "7" else "8") + run[at + 1 :]


def _swapped(run: str) -> str:
    at = next(i for i in range(4) if run[i] != run[i + 1])
    return run[:at] + run[at + 1] + run[at] + run[at + 2 :]


def _exchanged(groups: list[str], one: int, other: int) -> str:
    changed = list(groups)
    changed[one], changed[other] = changed[other], changed[one]
    return "-".join(changed)


def _enrolments() -> Iterator[Vector]:
    made = enrol(
        SEED,
        [RecoveryCodeFactor(lambda: CODE)],
        deployment_id=DEPLOYMENT,
        member_id=expand("weber", 16),
        kem=Kem.DHKEM_P256,
        randomness=drawn("recovery enrolment"),
    )
    (salt,), with_parameters = rewriting(made.raw)

    cases = {
        "good": (OK, "R-FACTOR-9", "the code", made.raw, PRINTED),
        "typed": (OK, "R-FACTOR-9", "the code in lower case", made.raw, PRINTED.lower()),
        "wrong": ("factor.wrong", "R-FACTOR-2", "another code", made.raw, _of(bytes(16))),
        "salt": ("factor.wrong", "R-FACTOR-1", "another salt", with_parameters(bytes(16)), PRINTED),
        "short": (
            "format.malformed", "R-FACTOR-9", "a salt of 15 bytes", with_parameters(salt[1:]),
            PRINTED,
        ),
        "items": (
            "format.malformed", "R-FACTOR-9", "a parameter more", with_parameters(salt, salt),
            PRINTED,
        ),
    }  # fmt: skip
    keys = member_keys(SEED)
    output = {
        "kem_public": keys.kem.public.hex(),
        "signing_public": keys.signing.public.hex(),
        "state_key": keys.state_key.reveal().hex(),
    }
    for name, (expect, requirement, why, raw, text) in cases.items():
        yield Vector(
            f"recovery-{name}", "unlock-recovery-code", expect, requirement, why,
            {"enrolment": raw.hex(), "recovery_code": text}, output if expect == OK else None,
        )  # fmt: skip
