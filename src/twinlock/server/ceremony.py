"""Opening: a release is verified, consumed and audited before the token sees any of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from twinlock.agent.agent import Release
from twinlock.core.context import ROW_SCOPE
from twinlock.core.membership import GroupState
from twinlock.core.ports import Clock, Token
from twinlock.core.primitives import equal
from twinlock.core.release import ReleaseItem, ReleaseMessage, decode_release, verify_message
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.files import whole_file
from twinlock.server import log
from twinlock.server.auditor import Auditor
from twinlock.server.blocks import SeenBlocks
from twinlock.server.opened import Opened
from twinlock.server.records import ReadRecord
from twinlock.server.requests import Pending, Request


@dataclass(frozen=True, slots=True)
class Ceremony:
    """Opens releases for one vault."""

    states: Callable[[], Mapping[bytes, GroupState]]
    token: Callable[[], Token]
    auditor: Auditor
    forget_transport: Callable[[bytes], None]
    clock: Clock
    blocks: SeenBlocks = field(default_factory=SeenBlocks)

    def open(self, request: Request, release: bytes) -> list[Opened]:
        """Open every record of a request. Raises ``release.*``, EnvError; see ``Vault.open``."""
        for asked in request.asked:
            if asked.record is not None and asked.record.file is not None:
                raise CallerError(
                    "open.file", "A sealed file is opened to a path.", hint="Use open_file()."
                )
        pending, message = self._admit(request, release)
        with self._noting_failure(pending):
            records = [self._record(request, pending, item) for item in message.items]
            tasks = [
                record.prepared.opening(item.wrapped_release_key)
                for record, item in zip(records, message.items, strict=True)
            ]
            with self.token().opening(pending.transport.kid, message.session_key) as opening:
                results = opening.open_many(tasks)
        opened = {
            pending.positions[item.position]: _opened(record, result)
            for item, record, result in zip(message.items, records, results, strict=True)
        }
        return self._complete(request, pending, opened)

    def open_file(self, request: Request, release: bytes, destination: Path) -> None:
        """Open the one sealed file of a request; the destination appears whole or not at all."""
        record = request.asked[0].record
        if len(request.asked) != 1 or record is None or record.file is None:
            raise CallerError(
                "open.not-a-file",
                "This request is not for exactly one sealed file.",
                hint="Request files one by one.",
            )
        pending, message = self._admit(request, release)
        if not message.items:
            raise _withheld()
        with (
            self._noting_failure(pending),
            whole_file(destination) as output,
            self.token().opening(pending.transport.kid, message.session_key) as opening,
            opening.open_dek(message.items[0].wrapped_release_key, record.prepared.outer) as dek,
        ):
            first = True
            for part in record.file.parts(record.head, record.prepared.context, _column(record)):
                plaintext = dek.decrypt(part)
                output.write(record.prepared.content(plaintext) if first else plaintext)
                first = False
        self.auditor.sign_when_due()

    def _admit(self, request: Request, release: bytes) -> tuple[Pending, ReleaseMessage]:
        """Verify, compare, consume and audit a release, in this order."""
        states = self.states()
        try:
            pending, message = self._verified(request, release, states)
            self._compare(pending, message)
            asked = pending.message
            self.auditor.admit(asked.request_id, asked.not_after, pending.digest, release)
        except DataError as error:
            log.release_refused(error)
            raise
        with self._noting_failure(pending):
            self.blocks.take(pending.transport.kid, message.session_key)
        return pending, message

    def _verified(
        self, request: Request, release: bytes, states: Mapping[bytes, GroupState]
    ) -> tuple[Pending, ReleaseMessage]:
        for pending in request.pending:
            for public in _signing_keys(pending, states):
                try:
                    message = decode_release(verify_message(release, public))
                except DataError as error:
                    if error.code != "data.not-authentic":
                        raise
                    continue
                if equal(message.request_digest, pending.digest):
                    return pending, message
        raise DataError(
            "release.not-authentic",
            "This release was not signed, for this request, by a present member who was asked.",
            hint="Ask again. A member who was removed or suspended cannot release any more.",
        )

    def _compare(self, pending: Pending, message: ReleaseMessage) -> None:
        asked = pending.message
        if self.clock() > asked.not_after:
            raise DataError(
                "release.expired",
                "This release came too late.",
                hint="Ask again; a request lives for at most two minutes.",
            )
        same = (
            message.deployment_id == asked.deployment_id
            and message.member_id == asked.member_id
            and message.transport_kid == asked.transport_kid
            and message.transport_digest == asked.transport_digest
        )
        positions = [item.position for item in message.items]
        if not same or positions != sorted(set(positions)):
            raise _mismatch()
        for item in message.items:
            self._compare_item(pending, item)

    @staticmethod
    def _compare_item(pending: Pending, item: ReleaseItem) -> None:
        if item.position >= len(pending.positions):
            raise _mismatch()
        if item.lock_digest not in pending.lock_digests[item.position]:
            raise _mismatch()

    @staticmethod
    def _record(request: Request, pending: Pending, item: ReleaseItem) -> ReadRecord:
        record = request.asked[pending.positions[item.position]].record
        if record is None or record.head.core.dek_id != item.dek_id:
            raise _mismatch()
        return record

    def _complete(
        self, request: Request, pending: Pending, opened: Mapping[int, Opened]
    ) -> list[Opened]:
        result = []
        for at, asked in enumerate(request.asked):
            found = opened.get(at)
            if found is None:
                found = Opened(asked.context, pending.refused.get(at) or _withheld())
            result.append(found)
        failed = [at for at in opened if not opened[at].ok]
        if failed:
            self.auditor.note(pending.digest, f"failed: {len(failed)} of {len(opened)}")
        self.auditor.sign_when_due()
        return result

    @contextmanager
    def _noting_failure(self, pending: Pending) -> Iterator[None]:
        try:
            yield
        except TwinlockError as error:
            if error.code == "token.transport-gone":
                self.forget_transport(pending.transport.kid)
            self.auditor.note(pending.digest, f"failed: {error.code}")
            raise


def _signing_keys(pending: Pending, states: Mapping[bytes, GroupState]) -> list[bytes]:
    """The member's present signing keys in the groups that this request was asked through."""
    keys: dict[bytes, None] = {}
    for head in pending.message.heads:
        state = states.get(head.group_id)
        membership = state.members.get(pending.message.member_id) if state else None
        if membership is not None:
            keys[membership.member.signing_public] = None
    return list(keys)


def _opened(record: ReadRecord, result: Sequence[bytes] | DataError) -> Opened:
    if isinstance(result, DataError):
        return _refused(record, result)
    try:
        values = {
            column: Secret(record.prepared.content(plaintext))
            for column, plaintext in zip(record.prepared.columns, result, strict=True)
        }
    except DataError as error:
        return _refused(record, error)
    return Opened(record.context, None, values)


def _refused(record: ReadRecord, error: DataError) -> Opened:
    log.record_refused(record.context, error, record.head.core.dek_id)
    return Opened(record.context, error)


def _column(record: ReadRecord) -> str:
    return record.context.column or ROW_SCOPE


def _mismatch() -> DataError:
    return DataError(
        "release.mismatch",
        "This release does not fit the request that it names.",
        hint="Ask again; if it happens twice, the member's agent is damaged or foreign.",
    )


def _withheld() -> CallerError:
    return CallerError(
        "release.withheld",
        "The member's agent did not release this record.",
        hint="The member can release it with a request of its own.",
    )


def release_bytes(release: Release | bytes) -> bytes:
    """Return the bytes of a release, received or made by an agent in this process."""
    return release.raw if isinstance(release, Release) else release
