"""Releases taken apart: another member's signature on foreign blobs, keys mixed between records."""

from __future__ import annotations

from dataclasses import replace

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.people import Insider
from attacks.world import World
from twinlock.core.audit import decode_line
from twinlock.core.release import (
    ReleaseItem,
    ReleaseMessage,
    decode_release,
    sign_message,
    split_signed,
)
from twinlock.server.blocks import SeenBlocks
from twinlock.server.ceremony import Ceremony
from twinlock.server.records import ReadRecord
from twinlock.server.requests import Pending, Request


@attack(
    id="foreign-blobs",
    claim="database-write",
    attack=38,
    says="a member signs the blobs of another's release, read from the audit log, as his own",
    mutations=[
        Mutation(
            "a session key may come in several releases",
            lambda: weakened((SeenBlocks, "take", nothing)),
        )
    ],
)
def foreign_blobs(world: World, trial: Trial) -> None:
    """Eve is in the ward alone; the records need ward and data office together."""
    eve = Insider.of(world, "eve")
    for place in world.places:
        if place.locks != "ward and data-office":
            continue
        world.read(place)
        with trial.attempt("blobs of another's release", "release.key-reused") as attempt:
            blobs = _last_release(world)
            request = world.vault.request([(place.context, world.stored(place))])
            request.bind(world.agents["eve"].hello())
            (pending,) = request.pending
            forged = replace(
                blobs,
                request_digest=pending.digest,
                member_id=eve.member_id,
                signing_kid=eve.keys.signing.kid,
            )
            shown = world.open(request, sign_message(forged.encode(), eve.keys.signing), place)
            attempt.says(shown == dict(place.content))


def _last_release(world: World) -> ReleaseMessage:
    lines = [decode_line(row["line"]) for row in world.database.rows("twinlock_audit_lines")]
    return decode_release(split_signed([x for x in lines if x.release][-1].release)[0])


@attack(
    id="mixed-keys",
    claim="database-write",
    attack=38,
    says="a member's agent mixes the keys, positions or names of two records in one release",
    mutations=[
        Mutation(
            "the server trusts a release's positions, and finds records by its DEK ids",
            lambda: weakened(
                (Ceremony, "_compare_item", staticmethod(nothing)),
                (Ceremony, "_record", staticmethod(_by_dek_id)),
            ),
        )
    ],
)
def mixed_keys(world: World, trial: Trial) -> None:
    """Nobody may see one record's content under another record's name."""
    kim = Insider.of(world, "kim")
    for suite in ("rsa-oaep", "token-aes"):
        pair = [world.place(f"{name}-{suite}") for name in ("first", "other-record")]
        for mix in (_exchange_keys, _exchange_places, _exchange_names, _repeat_first):
            request = world.vault.request([(p.context, world.stored(p)) for p in pair])
            release = kim_release(world, request)
            message = mix(decode_release(split_signed(release)[0]))
            refusals = ("release.mismatch", "data.not-authentic")
            with trial.attempt("keys mixed between records", *refusals) as attempt:
                forged = sign_message(message.encode(), kim.keys.signing)
                shown = world.vault.open(request, forged)
                attempt.held()
                for place, opened in zip(pair, shown, strict=True):
                    if opened.ok and opened.data().reveal() not in place.content.values():
                        attempt.broke()
                    elif not opened.ok and opened.error is not None:
                        raise opened.error


def kim_release(world: World, request: Request) -> bytes:
    """Have Kim's agent answer a request."""
    return world.agents["kim"].release(request).raw


def _exchange_keys(message: ReleaseMessage) -> ReleaseMessage:
    a, b = message.items
    one, other = a.wrapped_release_key, b.wrapped_release_key
    mixed = (replace(a, wrapped_release_key=other), replace(b, wrapped_release_key=one))
    return replace(message, items=mixed)


def _exchange_places(message: ReleaseMessage) -> ReleaseMessage:
    a, b = message.items
    return replace(message, items=(replace(b, position=0), replace(a, position=1)))


def _exchange_names(message: ReleaseMessage) -> ReleaseMessage:
    a, b = message.items
    return replace(message, items=(replace(a, dek_id=b.dek_id), replace(b, dek_id=a.dek_id)))


def _repeat_first(message: ReleaseMessage) -> ReleaseMessage:
    a, _ = message.items
    return replace(message, items=(a, replace(a, position=1)))


def _by_dek_id(request: Request, pending: Pending, item: ReleaseItem) -> ReadRecord:
    records = [asked.record for asked in request.asked if asked.record is not None]
    return next(record for record in records if record.head.core.dek_id == item.dek_id)
