"""What a guess comes to: every value that can be computed from it and from what was stolen.

The package's own functions compute it, so a weakened build is guessed at as it is, by somebody who
knows its code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final

from attacks.powers import Snapshot
from twinlock.core.enrolment import Enrolment, MemberKeys, unlock
from twinlock.core.factors import Parameters, Place, password, scram
from twinlock.core.factors.stretching import stretch, take_stretching
from twinlock.core.hardening.curve import encode_point
from twinlock.core.login import login_secret, login_verifier
from twinlock.core.primitives import sha256
from twinlock.core.scram.keys import ScramKeys, scram_keys
from twinlock.core.secret import Secret
from twinlock.core.statements import Directory
from twinlock.errors import DataError

Harden = Callable[[bytes, bytes], bytes]
"""Multiplies a point (65 bytes) with the hardening key of an id, and returns the x-coordinate."""
_SEPARATOR: Final = b"\x00" * 8


@dataclass(frozen=True, slots=True)
class Held:
    """A factor whose output somebody has, or guesses."""

    kind: str
    value: Secret

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """The output, whatever the parameters."""
        return self.value


def opened(enrolment: Enrolment, outputs: Mapping[str, bytes]) -> MemberKeys | None:
    """Unlock with these outputs by kind; zeros stand for whatever is not known."""
    factors = [Held(kind, Secret(outputs.get(kind, bytes(32)))) for kind in enrolment.kinds]
    try:
        return unlock(enrolment, factors)
    except DataError:
        return None


@dataclass(frozen=True)
class Guesser:
    """Somebody with snapshots, and with what else is given here.

    ``enrolments`` are the ones to try. ``seen`` is what was read elsewhere than in a snapshot.
    ``scram`` are salts and counts, which the server tells whoever asks. ``harden`` is the token's
    help, ``held`` the outputs of other factors.
    """

    directory: Directory
    enrolments: Sequence[Enrolment]
    snapshots: Sequence[Snapshot] = ()
    seen: Sequence[bytes] = ()
    scram: Sequence[tuple[bytes, int]] = ()
    harden: Harden | None = None
    held: Mapping[str, bytes] = field(default_factory=dict)
    memory: dict[tuple[str, bytes], Any] = field(default_factory=dict, repr=False)
    """Hashes that were computed already, by text and salt; guessers may share it."""

    def tells(self, text: str) -> bool:
        """Tell whether anything shows that a text is somebody's password."""
        if any(self.opens(enrolment, text) for enrolment in self.enrolments):
            return True
        return any(image in self._haystack for image in self.images(text))

    def found(self, candidates: Sequence[str]) -> set[str]:
        """Return the candidates that are somebody's; a test that all pass, or none, is none."""
        passed = {text for text in candidates if self.tells(text)}
        return passed if len(passed) < len(candidates) else set()

    def opens(self, enrolment: Enrolment, text: str) -> MemberKeys | None:
        """Unlock an enrolment with a guess and what is held."""
        kinds = dict(enrolment.factors)
        for output in self._passwords(enrolment, text) if "password" in kinds else [b""]:
            outputs = {**self.held, "password": output}
            if "passphrase" in kinds:
                by = take_stretching(kinds["passphrase"])
                hashed = self._remembered(text, by.salt, partial(stretch, text, by))
                outputs["passphrase"] = hashed.reveal()
            if "scram" in kinds:
                salt, iterations = kinds["scram"]
                client = self._scram(text, salt, iterations).client_key
                outputs["scram"] = scram.scram_output(enrolment.place, client).reveal()
            if (keys := opened(enrolment, outputs)) is not None:
                return keys
        return None

    def images(self, text: str) -> Iterator[bytes]:
        """Everything that a guess comes to, where a server may have stored it."""
        yield text.encode()
        for enrolment in self.enrolments:
            if "password" not in dict(enrolment.factors):
                continue
            for output in self._passwords(enrolment, text):
                secret = login_secret(Secret(output))
                yield from (output, sha256(output), secret.reveal(), sha256(secret.reveal()))
                yield login_verifier(enrolment.member_id, secret)
        for salt, iterations in self.scram:
            keys = self._scram(text, salt, iterations)
            for key in (keys.client_key, keys.stored_key, keys.server_key):
                yield from (key.reveal(), sha256(key.reveal()))

    def _passwords(self, enrolment: Enrolment, text: str) -> list[bytes]:
        """The outputs of ``password`` that a guess may have, as far as they can be known."""
        parameters = dict(enrolment.factors)["password"]
        kid, by = password.take_password_parameters(parameters)
        stretched = self._remembered(text, by.salt, partial(stretch, text, by))
        place, public = enrolment.place, self.directory.hardening_point(kid)
        point = encode_point(password.password_point(place, kid, stretched))
        guessed = [b"", bytes(32), point[1:33], public[1:33], stretched.reveal()]
        known = guessed if self.harden is None else [self.harden(kid, point)]
        made = [
            password.password_output(place, kid, public, Secret(x), stretched).reveal()
            for x in known
        ]
        return [*made, stretched.reveal()]

    def _scram(self, text: str, salt: bytes, iterations: int) -> ScramKeys:
        keys: ScramKeys = self._remembered(text, salt, lambda: scram_keys(text, salt, iterations))
        return keys

    def _remembered(self, text: str, salt: bytes, compute: Callable[[], Any]) -> Any:
        if (text, salt) not in self.memory:
            self.memory[text, salt] = compute()
        return self.memory[text, salt]

    @cached_property
    def _haystack(self) -> bytes:
        return _SEPARATOR.join([*_values(self.snapshots), *self.seen])


def _values(snapshots: Iterable[Snapshot]) -> Iterator[bytes]:
    for snapshot in snapshots:
        for rows in snapshot.tables.values():
            for row in rows:
                for value in row.values():
                    if isinstance(value, bytes):
                        yield value
                    elif isinstance(value, str):
                        yield value.encode()
