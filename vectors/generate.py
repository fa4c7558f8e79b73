"""Makes every vector file again from its family.

    python -m vectors

A second run changes nothing; ``git diff`` shows what a change to the formats did.
"""

from __future__ import annotations

from collections.abc import Iterator

from vectors import (
    adopted,
    contacts,
    content,
    device_key,
    encodings,
    factors,
    hardening,
    opening,
    passkey,
    recovery_code,
    scram,
    smart_card,
    statements,
)
from vectors.form import FOLDER, Vector
from vectors.recording import Recording


def all_vectors(recording: Recording) -> Iterator[Vector]:
    """Yield every vector of every family."""
    yield from encodings.vectors(recording)
    yield from content.vectors(recording)
    yield from opening.vectors(recording)
    yield from adopted.vectors(recording)
    yield from statements.vectors(recording)
    yield from factors.vectors()
    yield from hardening.vectors()
    yield from recovery_code.vectors()
    yield from device_key.vectors()
    yield from smart_card.vectors()
    yield from passkey.vectors()
    yield from scram.vectors()
    yield from contacts.vectors(recording)


def main() -> int:
    """Write all files, and remove those that no family makes any more."""
    recording = Recording()
    texts: dict[str, str] = {}
    for vector in all_vectors(recording):
        if vector.name in texts:
            raise SystemExit(f"two vectors are called {vector.name}")
        texts[vector.name] = vector.to_text()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.txt"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        (FOLDER / f"{name}.txt").write_text(text)
    recording.save()
    print(f"{len(texts)} vectors")
    return 0
