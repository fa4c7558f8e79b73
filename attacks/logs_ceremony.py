"""A whole ceremony in a process of its own, with everything logged that can be logged.

``python -m attacks.logs_ceremony FOLDER WEAKNESS`` takes FOLDER/twinlock.toml and FOLDER/job.json
and leaves there: the PKCS#11 spy's log, cut by phase (spy-*.log), logging at DEBUG with all SQL
(python.log), the reprs of everything (reprs.log), tracebacks with and without local variables
(tracebacks.log, locals.log), and each secret in hexadecimal by kind (canaries.json). WEAKNESS names
a weakened build of ``WEAKNESSES``, or is empty.
"""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from attacks.harness import weakened
from twinlock.agent import agent as agent_module
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.agent.member import create_member
from twinlock.core import sealing
from twinlock.core.context import Context
from twinlock.core.envelope import decode_value, encode_value
from twinlock.core.primitives import aes_key_unwrap
from twinlock.core.release import wrap_release_keys
from twinlock.core.secret import Secret, SecretText
from twinlock.errors import TwinlockError
from twinlock.server.records import Sealed, SealedFile
from twinlock.server.sealing import AllOf
from twinlock.server.vault import Vault
from twinlock.token.calls import SessionCalls
from twinlock.token.ck import Cka
from twinlock.token.importing import ReleaseKeyImport
from twinlock.token.policy import secret_key
from twinlock.token.structures import Template

SUITES: Final = ("rsa-oaep", "token-aes")
CONTENT: Final = b"canary content, which only the interface of the token may show: 4711-0815"
_KINDS: Final = {
    ("sealing", "new_locks"): "release key",
    ("sealing", "_software_dek"): "dek",
    ("release", "wrap_release_keys"): "session key",
    ("ceremony", "<dictcomp>"): "content",
    ("opened", "text"): "content",
}
_INIT: Final = Secret.__init__


def _plain_keys(to: Any, keys: Any, randomness: Any) -> Any:
    block, _ = wrap_release_keys(to, keys, randomness)
    return block, [key.reveal() + bytes(8) for key in keys]


def _created(_: ReleaseKeyImport, work: SessionCalls, release_key: Secret) -> int:
    return work.create_object(Template({**secret_key(Cka.WRAP), Cka.VALUE: release_key.reveal()}))


WEAKNESSES: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    "": nullcontext,
    "secrets show themselves": lambda: weakened(
        *((kind, "__repr__", lambda s: repr(s.reveal())) for kind in (Secret, SecretText)),
    ),
    "W is the DEK": lambda: weakened((sealing, "aes_key_wrap", lambda _, dek: dek + bytes(8))),
    "release keys travel in the clear": lambda: weakened(
        (agent_module, "wrap_release_keys", _plain_keys)
    ),
    "release keys are created in the token": lambda: weakened(
        (ReleaseKeyImport, "_unwrap", _created)
    ),
}


class Canaries:
    """Every secret that this process ever makes, by kind.

    ``kinds`` names those that come from a place in the code: module and function to kind.
    """

    def __init__(self, kinds: Mapping[tuple[str, str], str]) -> None:
        self._kinds = kinds
        self.found: dict[str, set[str]] = defaultdict(set)

    def add(self, kind: str, value: bytes) -> None:
        """Note one; what is too short or all the same byte is no canary."""
        if len(value) >= 11 and len(set(value)) > 4:
            self.found[kind].add(value.hex())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take every Secret as it is made, and the DEKs that are born in the token."""
        imported: list[bytes] = []

        def made(secret: Secret, value: bytes) -> None:
            frame = sys._getframe(1)
            place = (Path(frame.f_code.co_filename).stem, frame.f_code.co_name)
            self.add(self._kinds.get(place, "secret"), value)
            _INIT(secret, value)

        bring_in, wrap = ReleaseKeyImport.bring_in, SessionCalls.wrap

        def importing(self: ReleaseKeyImport, work: SessionCalls, release_key: Secret) -> int:
            imported[:] = [release_key.reveal()]
            return bring_in(self, work, release_key)

        def wrapping(calls: SessionCalls, mechanism: Any, wrapping_key: int, key: int) -> bytes:
            wrapped = wrap(calls, mechanism, wrapping_key, key)
            self.add("dek", aes_key_unwrap(imported[0], wrapped))
            return wrapped

        with weakened(
            (Secret, "__init__", made),
            (ReleaseKeyImport, "bring_in", importing),
            (SessionCalls, "wrap", wrapping),
        ):
            yield


class Ceremony:
    """What an application and its members do in a day, and what goes wrong."""

    def __init__(self, folder: Path, job: dict[str, str]) -> None:
        self.folder = folder
        self.home = Path(job["home"])
        self.passphrase = Passphrase(job["passphrase"])
        self.vault = Vault.connect(folder / "twinlock.toml")
        self.kept: list[object] = [self.vault, self.passphrase]
        self.errors: list[BaseException] = []
        self.agents = {name: self._unlock(name) for name in ("kim", "weber", "olga")}
        self.agents["pia"] = self._unlock("pia", self.passphrase)
        groups = ("ward", "emergency", "data-office")
        self.ward, self.emergency, self.office = map(self.vault.group, groups)
        self.sealed: list[tuple[Context, Any]] = []

    def _unlock(self, name: str, *more: Passphrase) -> Agent:
        device = DeviceKey(self.home / name / "device.key")
        agent = Agent.unlock(name, device, *more, home=self.home / name)
        agent.follow(self.vault.group_bundle(agent.hello()))
        return agent

    def phases(self) -> Mapping[str, Callable[[], None]]:
        """Join, seal, open, fail."""
        return {
            "join": self.join,
            "seal-rsa-oaep": lambda: self.seal("rsa-oaep"),
            "seal-token-aes": lambda: self.seal("token-aes"),
            "open": self.open,
            "fail": self.fail,
        }

    def seal(self, suite: str) -> None:
        """A value, a row, a file, an AND lock."""
        value, file, both = (
            Context(table=table, record=suite, column="text")
            for table in ("spied", "spied file", "spied both")
        )
        row = Context(table="spied row", record=suite)
        ways, path = [self.ward, self.emergency], self.folder / f"{suite}.twl"
        self.sealed += [
            (value, self.vault.seal(CONTENT, to=ways, context=value, suite=suite)),
            (row, self.vault.seal_row({"a": CONTENT}, to=ways, context=row, suite=suite)),
        ]
        source = io.BytesIO(CONTENT * 1000)
        self.vault.seal_file(source, path, to=ways, context=file, suite=suite)
        to = AllOf(self.ward, self.office)
        stored = self.vault.seal(CONTENT, to=to, context=both, suite=suite)
        self.sealed += [(file, SealedFile(path)), (both, stored)]

    def open(self) -> None:
        """Ask, help, release, open, look at it."""
        for context, stored in self.sealed:
            request = self.vault.request([(context, stored)], purpose="canary round")
            bundle = request.bind(self.agents["kim"].hello())
            shares = []
            if context.table == "spied both":
                olga = self.agents["olga"]
                shares.append(olga.help_with(request.assist(olga.hello(), bundle)))
            self.kept.append(self.agents["kim"].examine(bundle))
            release = self.agents["kim"].release(bundle, shares=shares)
            self.kept += [request, release]
            if isinstance(stored, SealedFile):
                self.vault.open_file(request, release, self.folder / "opened")
                continue
            opened = self.vault.open(request, release)
            self.kept += opened
            self.kept += [item.text() for item in opened if context.table != "spied row"]
        self.vault.auditor.sign_head()

    def fail(self) -> None:
        """What is refused on the way, each with its traceback."""
        context, stored = self.sealed[0]
        head, field = decode_value(stored.to_bytes())
        damaged = Sealed(encode_value(replace(head, outer=bytes(len(head.outer))), field))
        kim, pia = self.agents["kim"], self.home / "pia"
        request = self.vault.request([(context, stored)])
        release = kim.release(request)
        self.vault.open(request, release)
        wrong = Passphrase("another passphrase")
        other = Context(table="spied", record=77, column="text")
        asked = self.vault.request([(context, damaged)])
        answered = kim.release(asked)
        acts: tuple[Callable[[], object], ...] = (
            lambda: self.vault.open(request, release),
            lambda: self.vault.open(asked, answered)[0].data(),
            lambda: kim.release(request, expect=[other]),
            lambda: self.agents["olga"].release(request),
            lambda: kim.release(request.bind(kim.hello())[:-1]),
            lambda: Agent.unlock("pia", DeviceKey(pia / "device.key"), wrong, home=pia),
            lambda: self.vault.request([(other, stored)]).bind(kim.hello()),
            lambda: self.vault.seal(b"x", to=[], context=context),
            lambda: self.vault.append(b"no proposal"),
        )
        for act in acts:
            try:
                act()
            except TwinlockError as error:
                self.errors.append(error)
            else:
                raise LookupError("an act that must fail did not")

    def join(self) -> None:
        """A new member: invited, added, given the group's keys."""
        weber = self.agents["weber"]
        invitation = weber.admin.invite(self.ward.group_id)
        home = self.folder / "ida"
        device = DeviceKey.create(home / "device.key")
        create_member("ida", [device, self.passphrase], deployment=invitation, home=home)
        ida = Agent.unlock("ida", device, self.passphrase, home=home)
        self.vault.append(weber.admin.add(self.ward.group_id, ida.card(invitation)))
        for agent in (weber, ida):
            agent.follow(self.vault.group_bundle(agent.hello()))
        self.kept += [ida, invitation, ida.admin]


def _reprs(kept: list[object]) -> Iterator[str]:
    """Everything of the package that lives, and what it logs of itself."""
    for found in [*kept, *gc.get_objects()]:
        if str(type(found).__module__).startswith("twinlock."):
            yield repr(found)
            yield f"{found!s} {found}"


class Day(Protocol):
    """What is logged: phases in their order, what they keep, and what they failed with."""

    vault: Vault
    kept: list[object]
    errors: list[BaseException]

    def phases(self) -> Mapping[str, Callable[[], None]]:
        """Name to act."""
        ...


def record(
    folder: Path,
    canaries: Canaries,
    weakness: AbstractContextManager[None],
    begin: Callable[[], Day],
) -> None:
    """Work through a day and write what was logged, as this module's text says."""
    logging.basicConfig(filename=folder / "python.log", level=logging.DEBUG)
    logging.getLogger("sqlalchemy").setLevel(logging.DEBUG)
    spy = Path(os.environ["PKCS11SPY_OUTPUT"])
    with canaries.watching(), weakness:
        day, seen = begin(), 0
        for phase, act in day.phases().items():
            try:
                act()
            except TwinlockError as error:  # a weakened build does not open what it sealed
                day.errors.append(error)
            text = spy.read_bytes()
            (folder / f"spy-{phase}.log").write_bytes(text[seen:])
            seen = len(text)
        for kept in day.kept:
            logging.getLogger("application").debug("works with %r", kept)
        for failed in day.errors:
            logging.getLogger("application").error("it failed", exc_info=failed)
        (folder / "reprs.log").write_text("\n".join(_reprs(day.kept)))
        for name, local in (("tracebacks", False), ("locals", True)):
            texts = [
                "".join(
                    traceback.TracebackException.from_exception(e, capture_locals=local).format()
                )
                for e in day.errors
            ]
            (folder / f"{name}.log").write_text("\n".join(texts))
        day.vault.close()
    found = {kind: sorted(values) for kind, values in canaries.found.items()}
    (folder / "canaries.json").write_text(json.dumps(found))


def main() -> None:
    """Record a day of sealing, opening and joining."""
    folder, weakness = Path(sys.argv[1]), sys.argv[2]
    job = json.loads((folder / "job.json").read_text())
    canaries = Canaries(_KINDS)
    canaries.add("passphrase", job["passphrase"].encode())
    canaries.add("pin", job["pin"].encode())
    canaries.add("content", CONTENT)
    record(folder, canaries, WEAKNESSES[weakness](), lambda: Ceremony(folder, job))


if __name__ == "__main__":
    main()
