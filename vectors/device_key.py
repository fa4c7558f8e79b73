"""Device keys as they are printed and typed, and their backup files."""

from __future__ import annotations

from collections.abc import Iterator

from twinlock.core import cbor
from twinlock.core.device_key_backup import PRINTED_DEVICE_KEY, device_key_check, seal_backup
from twinlock.core.factors.stretching import MIN_MEMORY_KIB
from twinlock.core.secret import Secret, SecretText
from vectors.factors import DEVICE, WORDS, drawn
from vectors.form import OK, Vector

PRINTED = PRINTED_DEVICE_KEY.write(DEVICE).reveal()
MISTYPED = "device-key.mistyped"
DAMAGED = "device-key.backup-damaged"
WRONG = "device-key.backup-wrong"


def vectors() -> Iterator[Vector]:
    """Yield the family's vectors."""
    yield from _texts()
    yield from _files()


def _shown(key: Secret) -> dict[str, str]:
    return {"key": key.reveal().hex(), "check": device_key_check(key)}


def _texts() -> Iterator[Vector]:
    groups, run = PRINTED.split("-"), PRINTED.replace("-", "")
    rows = [groups[at : at + 4] for at in range(0, 14, 4)]
    cases = {
        "printed": ("R-DEVICE-1", "as it is printed", PRINTED, DEVICE),
        "zeros": ("R-DEVICE-1", "32 zero bytes", _of(bytes(32)), Secret(bytes(32))),
        "ones": ("R-DEVICE-1", "32 bytes of ff", _of(b"\xff" * 32), Secret(b"\xff" * 32)),
        "rows": ("R-DEVICE-2", "in rows", "\n".join("-".join(row) for row in rows), DEVICE),
        "lower": ("R-DEVICE-2", "in lower case and one piece", run.lower(), DEVICE),
        "letters": (
            "R-DEVICE-2", "O for 0, and i for 1",
            _of(bytes(32)).replace("0", "O").replace("1", "i"),
            Secret(bytes(32)),
        ),
    }  # fmt: skip
    for name, (requirement, why, text, key) in cases.items():
        yield _text(name, OK, requirement, why, text, _shown(key))
    # The data 0001 with a check character that fits: x^4 times 1, and the group's number 1.
    apart = "-".join(["0001H", *_of(bytes(32)).split("-")[1:]])
    wrong = {
        "character": ("a character of group 14 is another one", run[:68] + _other(run[68:])),
        "groups": ("groups 13 and 14 are exchanged", "-".join([*groups[:12], *groups[:11:-1]])),
        "short": ("a character is missing", run[:-1]),
        "code": ("as long as a recovery code", "-".join(groups[:7])),
        "apart": ("each group fits, but not with the others", apart),
    }
    for name, (why, text) in wrong.items():
        yield _text(name, MISTYPED, "R-DEVICE-2", why, text, None)


def _text(
    name: str, expect: str, requirement: str, why: str, text: str, output: dict[str, str] | None
) -> Vector:
    return Vector(
        f"device-key-{name}", "read-device-key", expect, requirement, why, {"text": text}, output
    )


def _of(raw: bytes) -> str:
    return PRINTED_DEVICE_KEY.write(Secret(raw)).reveal()


def _other(end: str) -> str:
    return ("7" if end[0] != "7" else "8") + end[1:]


def _files() -> Iterator[Vector]:
    made = seal_backup(
        DEVICE, SecretText(WORDS), randomness=drawn("backup"), memory_kib=MIN_MEMORY_KIB
    )
    label, aad, nonce, sealed = cbor.decode(made)
    inner, check, salt, *numbers = cbor.decode(aad)

    def with_aad(*items: object) -> bytes:
        return cbor.encode([label, cbor.encode([inner, *items]), nonce, sealed])

    renamed = "twinlock/v2/device-key-backup-file"
    cases = {
        "good": (OK, "R-DEVICE-4", "the passphrase", made, WORDS),
        "decomposed": (
            OK, "R-DEVICE-4", "typed with a combining mark", made, WORDS.replace("ü", "u\u0308"),
        ),
        "wrong": (WRONG, "R-DEVICE-4", "another passphrase", made, "correct horse"),
        "check": (WRONG, "R-DEVICE-3", "another check", with_aad(bytes(5), salt, *numbers), WORDS),
        "salt": (WRONG, "R-DEVICE-4", "another salt", with_aad(check, bytes(16), *numbers), WORDS),
        "weak": (
            DAMAGED, "R-DEVICE-4", "32 MiB of memory", with_aad(check, salt, 32 << 10, 3, 1), WORDS,
        ),
        "endless": (
            DAMAGED, "R-DEVICE-4", "65 iterations", with_aad(check, salt, 64 << 10, 65, 1), WORDS,
        ),
        "short": (DAMAGED, "R-DEVICE-4", "a check of 4 bytes", with_aad(check[1:], salt, *numbers),
                  WORDS),
        "version": (
            DAMAGED, "R-DEVICE-4", "another version", cbor.encode([renamed, aad, nonce, sealed]),
            WORDS,
        ),
        "cut": (DAMAGED, "R-DEVICE-4", "a byte is missing", made[:-1], WORDS),
    }  # fmt: skip
    for name, (expect, requirement, why, raw, words) in cases.items():
        yield Vector(
            f"device-key-backup-{name}", "open-device-key-backup", expect, requirement, why,
            {"file": raw.hex(), "passphrase": words}, _shown(DEVICE) if expect == OK else None,
        )  # fmt: skip
