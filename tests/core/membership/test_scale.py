"""A large group."""

from __future__ import annotations

from dataclasses import replace

from tests.core.membership.world import ANNA, DEPLOYMENT, DORA, begin, person, refused, signed
from twinlock.core.membership import Add, SignedEntry, apply, decode_state, encode_state, replay

MEMBERS = 10_000


def test_ten_thousand_members_are_replayed_and_kept() -> None:
    """R-LOG-27, R-LOG-28: without a limit that a large hospital would meet."""
    log = begin()
    start = state = log.state
    for number in range(MEMBERS - 1):
        entry = signed(state, Add(person(f"Member {number}").member), ANNA)
        log.entries.append(entry.encode())
        # Only place and head matter for building the next entry.
        state = replace(start, seq=entry.entry.seq, head=entry.head)
    whole = replay(log.entries, deployment_id=DEPLOYMENT)
    assert (len(whole.members), whole.pin) == (MEMBERS, state.pin)
    kept = decode_state(encode_state(whole))
    assert kept == whole
    more = signed(kept, Add(DORA.member), ANNA)
    assert len(apply(kept, more).members) == MEMBERS + 1
    with refused("log.broken-chain"):
        replay([*log.entries[:5000], *log.entries[5001:]], deployment_id=DEPLOYMENT)
    assert SignedEntry.decode(log.entries[-1]).head == whole.head
