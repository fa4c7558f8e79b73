"""Releases taken apart: another member's signature on foreign blobs, keys mixed between records."""

from __future__ import annotations

from dataclasses import replace

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.people import Insider
from attacks.world import World
from twinlock.core.audit import decode_line
from twinlock.core.release import (
    ReleaseMessage,
    decode_release,
    sign_message,
    split_signed,
)
from twinlock.server.blocks import SeenBlocks


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
