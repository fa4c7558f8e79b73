"""Keys read below the unwrap template: what grade B gives away, and that it is no more."""

from __future__ import annotations

from typing import Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.hsm_interface import interface, live_token
from attacks.hsm_loot import half_open, targets
from attacks.live_loot import LEVELS, Loot, rob, transport_keys
from attacks.world import World
from twinlock.core import sealing
from twinlock.core.release import decode_release, split_signed
from twinlock.core.secret import Secret
from twinlock.token import doctor, levels

_RELEASED: Final = ("first", "versioned", "both", "row", "scan", "office")

ONE_KEY: Final = Mutation(
    "all records have one release key and, with rsa-oaep, one DEK",
    lambda: weakened((sealing, "Secret", lambda _: Secret(b"\7" * 32))),
    rebuild=True,
)
_LYING_DOCTOR: Final = Mutation(
    "doctor never reads a key",
    lambda: weakened((levels._Chain, "read", lambda *_: None)),
)


@attack(
    id="live-below-template",
    claim="live-own-agent",
    attack=33,
    says="session key, release key and DEK read in the clear under weaker templates",
    mutations=[ONE_KEY, _LYING_DOCTOR],
    databases=False,
)
def live_below_template(world: World, trial: Trial) -> None:
    """Members release twelve records. The loot opens these, as far as the grade says; no other."""
    everything = targets(world)
    released = [t for t in everything if t.place.name.startswith(_names())]
    token, loot = live_token(world), Loot()
    with interface(world) as api:
        by_dek = {target.dek_id: half_open(api, target) for target in everything}
        for target in released:
            request = world.vault.request([(target.place.context, world.stored(target.place))])
            raw = world.release(request, target.place)
            message = decode_release(split_signed(raw)[0])
            found = rob(api, token.profile, transport_keys(api), message, by_dek)
            loot.add(found)
            with trial.attempt("keys of a release open another record") as attempt:
                ids = {item.dek_id for item in message.items}
                others = [other for dek_id, other in by_dek.items() if dek_id not in ids]
                attempt.says(any(o.lost_by(key) for o in others for key in found.all))
    measured = {level: not loot.keys[level] for level in LEVELS}
    opened = [t for t in released if any(t.opened_by(dek) for dek in loot.keys["dek"])]
    if not measured["dek"] and len(opened) != len(released):
        raise LookupError("the loot does not open what was released: the attack is incomplete")
    said = {probe.name: probe.held for probe in doctor.examine(token).probes}
    for level in LEVELS:
        with trial.attempt("doctor says less than what was read") as attempt:
            attempt.says(said[f"{levels.NAMES[level]} cannot be read"] != measured[level])


def _names() -> tuple[str, ...]:
    return tuple(f"{name}-{suite}" for name in _RELEASED for suite in ("rsa-oaep", "token-aes"))
