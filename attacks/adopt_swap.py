"""Rewrapped rows changed by whoever writes the database: moved, planted, called something else.

Their ciphertexts are of the time before, under DEKs that the attacker may even know: he was there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import permutations

from attacks.forge import (
    fresh_signing_key,
    lock_dek,
    sign_field,
    take,
    target_of,
    writer_key,
)
from attacks.harness import Mutation, Trial, attack, weakened
from attacks.legacy import COLUMNS, PLACES, OldApplication, adopted, old_cell
from attacks.places import Place
from attacks.weak import AUTHORS_UNCHECKED, CONTENT_UNAUTHENTICATED, CONTEXT_IGNORED
from attacks.world import World
from twinlock.core import locks, opening, sealing
from twinlock.core.adopted import (
    LegacyCell,
    decode_adopted,
    encode_adopted,
    sign_cells,
)
from twinlock.core.envelope import (
    Core,
    Layout,
    LockHeader,
    encode_cell,
    encode_row_head,
    new_core,
)
from twinlock.core.locks import GroupTarget
from twinlock.core.ports import DekOrigin
from twinlock.core.primitives import SigningKey, gcm_seal
from twinlock.core.segments import additional_data, nonce
from twinlock.server.records import AdoptedRow, SealedRow

_LIE = b"no allergies known"
_SIGNATURE = "data.not-authentic:signature"
_LOCK = "data.not-authentic:HPKE"


@attack(
    id="adopted-swap",
    claim="adopted",
    attack=(1, 40),
    says="rewrapped rows and their old ciphertexts at other rows' and columns' places",
    mutations=[AUTHORS_UNCHECKED, CONTEXT_IGNORED, CONTENT_UNAUTHENTICATED],
    databases=False,
)
def adopted_swap(world: World, trial: Trial) -> None:
    """Every pair of rows and both columns, each under the locks of the groups that it has."""
    with adopted(world) as old:
        rows = {place.name: old.rewrap(place) for place in PLACES}
        for place in PLACES:
            if not trial.weakened and world.read(place, rows[place.name]) != dict(place.content):
                raise LookupError(f"{place.name} does not open as it is: nothing is proved")
        for source, target in permutations(PLACES, 2):
            stored, other = rows[source.name], rows[target.name]
            with trial.attempt("a whole row", _SIGNATURE) as attempt:
                attempt.says(_shows(world, target, stored, source))
            with trial.attempt("the ciphertexts alone", _SIGNATURE) as attempt:
                mixed = AdoptedRow(other.head, stored.cells)
                attempt.says(world.read(target, mixed) != dict(target.content))
        for place in PLACES:
            row = rows[place.name]
            (one, first), (other_name, second) = row.cells.items()
            with trial.attempt("columns exchanged", _SIGNATURE) as attempt:
                exchanged = AdoptedRow(row.head, {one: second, other_name: first})
                attempt.says(_shows(world, place, exchanged, place))
            with trial.attempt("another ciphertext under its DEK, which is known", _SIGNATURE) as a:
                cell = old_cell(old.deks[place.name], _LIE)
                a.says(_LIE in world.read(place, AdoptedRow(row.head, {one: cell})).values())
            with trial.attempt("a column that was not adopted", "data.not-authentic:adopted") as a:
                strange = AdoptedRow(row.head, {"address": first})
                a.says(_shows(world, place, strange, place))
            with trial.attempt("called a DEK that was in host memory", _SIGNATURE) as attempt:
                told = replace(decode_adopted(row.head), origin=DekOrigin.HOST)
                attempt.says(
                    _shows(world, place, AdoptedRow(encode_adopted(told), row.cells), place)
                )


def _shows(world: World, target: Place, stored: AdoptedRow, source: Place) -> bool:
    shown = world.read(target, stored, member=source.reader)
    return bool(set(shown.values()) & set(source.content.values()))


@attack(
    id="adopted-planted",
    claim="adopted",
    attack=(29, 40),
    says="a rewrapped row made with public keys alone, under a real context",
    mutations=[AUTHORS_UNCHECKED],
    databases=False,
)
def adopted_planted(world: World, trial: Trial) -> None:
    """Locks for the right groups and the right wrapping key; what is missing is an author."""
    own, genuine = fresh_signing_key(), writer_key(world).public
    impostor = SigningKey(genuine, fresh_signing_key()._private)
    ward = target_of(world, "ward")
    for place in PLACES[:3]:
        for kind, author, refusal in (
            ("a writer of his own", own, "data.not-authentic:author"),
            ("a writer's name", impostor, _SIGNATURE),
        ):
            dek = os.urandom(32)
            cells = {column: old_cell(dek, _LIE) for column in COLUMNS}
            planted = _made(world, place, dek, cells, author, ward)
            with trial.attempt(kind, refusal) as attempt:
                attempt.says(_LIE in world.read(place, planted).values())


def _made(
    world: World,
    place: Place,
    dek: bytes,
    cells: dict[str, LegacyCell],
    author: SigningKey,
    target: GroupTarget,
) -> AdoptedRow:
    context = place.context.encode(world.config.deployment_id)
    core = new_core(os.urandom(16), Layout.ADOPTED, author.kid)
    head = lock_dek(world, core, context, dek, [target])
    made = sign_cells(head, DekOrigin.TOKEN, context, cells, author)
    return AdoptedRow(encode_adopted(made), cells)


_LOCK_INFO, _OUTER_BINDING = locks.lock_info, sealing.outer_binding


def _info_without_core(
    _: bytes, context: bytes, target: GroupTarget, index: int, count: int, rc: bytes
) -> bytes:
    return _LOCK_INFO(b"", context, target, index, count, rc)


def _binding_without_core(_: bytes, context: bytes, header: LockHeader) -> bytes:
    return _OUTER_BINDING(b"", context, header)


@attack(
    id="adopted-suites-confused",
    claim="adopted",
    attack=(5, 40),
    says="a native row passed off as an adopted one and the reverse, signed with the writer key",
    mutations=[
        Mutation(
            "locks and outer lock are not bound to the core, in which the content suite stands",
            lambda: weakened(
                (locks, "lock_info", _info_without_core),
                (sealing, "outer_binding", _binding_without_core),
                (opening, "outer_binding", _binding_without_core),
            ),
            rebuild=True,
        )
    ],
    databases=False,
)
def adopted_suites_confused(world: World, trial: Trial) -> None:
    """An adopted row has no 32 zero bytes in front; as one, a native row would show them."""
    key = writer_key(world)
    with adopted(world) as old:
        for name in ("row-rsa-oaep", "row-token-aes"):
            place = world.place(name)
            with trial.attempt("a native row as an adopted one", _LOCK) as attempt:
                shown = world.read(place, _as_adopted(world, place, key))
                attempt.says(any(value.startswith(bytes(32)) for value in shown.values()))
        for place in PLACES[:2]:
            with trial.attempt("an adopted row as a native one", _LOCK) as attempt:
                shown = world.read(place, _as_native(old, place, key))
                attempt.says(_LIE in shown.values())


def _as_adopted(world: World, place: Place, key: SigningKey) -> AdoptedRow:
    """A native row's DEK and segments, called adopted: the core says so, and it is signed anew."""
    taken, context = take(world, place), place.context.encode(world.config.deployment_id)
    was = taken.head.core
    head = replace(taken.head, core=new_core_like(was, Layout.ADOPTED))
    cells = {
        column: LegacyCell(
            nonce(f.prefix, 0, last=True),
            f.ciphertext,
            additional_data(was.raw, context, column, 0, last=True),
        )
        for column, f in taken.fields.items()
    }
    return AdoptedRow(encode_adopted(sign_cells(head, DekOrigin.TOKEN, context, cells, key)), cells)


def _as_native(old: OldApplication, place: Place, key: SigningKey) -> SealedRow:
    """An adopted row's DEK, which somebody knew before, under the head of a native row."""
    world, dek = old.world, old.deks[place.name]
    context = place.context.encode(world.config.deployment_id)
    adopted_head = decode_adopted(old.rewrap(place).head).head
    head = replace(adopted_head, core=new_core_like(adopted_head.core, Layout.ROW))
    cells = {}
    for column in COLUMNS:
        prefix = os.urandom(7)
        aad = additional_data(head.core.raw, context, column, 0, last=True)
        ciphertext = gcm_seal(dek, nonce(prefix, 0, last=True), bytes(32) + _LIE, aad)
        field = sign_field(head.core, context, column, prefix, ciphertext, key)
        cells[column] = encode_cell(head, field)
    return SealedRow(encode_row_head(head), cells)


def new_core_like(core: Core, layout: Layout) -> Core:
    """The same DEK id and writer, said to lie in another layout, with its content suite."""
    return new_core(core.dek_id, layout, core.writer_kid)
