"""Whether keys can be read or put to other uses, tried at all three levels.

transport key -> session key -> release key -> DEK. Whoever speaks PKCS#11 in the live process has
the blobs and chooses the templates. At each level the probes try every parent that such an
attacker can get, under weaker templates, and look whether the value comes out. Before each the
policy's own template must work: a refusal of everything would prove nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from twinlock.core.primitives import aes_key_unwrap, aes_key_wrap
from twinlock.errors import DataError
from twinlock.token.ck import Cka, code_name
from twinlock.token.lab import Lab
from twinlock.token.policy import secret_key
from twinlock.token.probes import NotHeldError
from twinlock.token.profiles import UnwrapTemplate
from twinlock.token.returns import CallError
from twinlock.token.structures import AES_KEY_WRAP, Attributes, Template

LEVELS: Final = ("session_key", "release_key", "dek")
NAMES: Final = {
    "session_key": "the release's AES key",
    "release_key": "a release key",
    "dek": "a DEK",
}
_USAGE: Final = {"session_key": Cka.UNWRAP, "release_key": Cka.UNWRAP, "dek": Cka.DECRYPT}


@dataclass(frozen=True)
class _Chain:
    """One release with one record, all values known to software."""

    lab: Lab

    @cached_property
    def values(self) -> dict[str, bytes]:
        return {level: os.urandom(32) for level in LEVELS}

    def unwrap(self, level: str, parent: int, attributes: Attributes) -> int:
        value = self.values[level]
        if level == "session_key":
            return self.lab.unwrap_session_key(value, attributes)
        above = LEVELS[LEVELS.index(level) - 1]
        wrapped = aes_key_wrap(self.values[above], value)
        return self.lab.calls.unwrap(AES_KEY_WRAP, parent, wrapped, Template(attributes))

    def parents(self, level: str) -> Iterator[int]:
        """Handles of the level above, as the runtime unwraps it and with no template of its own."""
        if level == "session_key":
            yield 0
            return
        above = LEVELS[LEVELS.index(level) - 1]
        policy = self.lab.levels()[above]
        bare = {kind: value for kind, value in policy.items() if kind != Cka.UNWRAP_TEMPLATE}
        for attributes in (policy, bare) if bare != policy else (policy,):
            for parent in self.parents(above):
                try:
                    yield self.unwrap(above, parent, attributes)
                except CallError:
                    if attributes is policy:
                        raise
                    continue

    def read(self, handle: int) -> bytes | None:
        """The key's value, if it comes out: plainly, or wrapped under a key of the attacker's."""
        calls, own_key = self.lab.calls, os.urandom(32)
        plain = calls.attribute(handle, Cka.VALUE)
        if plain is not None:
            return plain
        try:
            wrapped = calls.wrap(AES_KEY_WRAP, self.lab.aes_key(own_key, Cka.WRAP), handle)
            return aes_key_unwrap(own_key, wrapped)
        except (CallError, DataError):
            return None


def cannot_be_read(level: str) -> Callable[[Lab], str]:
    """A key of this level does not come out under an extractable or not sensitive template."""

    def run(lab: Lab) -> str:
        chain = _Chain(lab)
        plain = secret_key(_USAGE[level])
        weaker: dict[str, Attributes] = {
            "not sensitive": {**plain, Cka.SENSITIVE: False, Cka.EXTRACTABLE: True},
            "extractable": {**plain, Cka.EXTRACTABLE: True},
        }
        answers = set()
        for parent in chain.parents(level):
            chain.unwrap(level, parent, lab.levels()[level])
            for name, attributes in weaker.items():
                try:
                    handle = chain.unwrap(level, parent, attributes)
                except CallError as failed:
                    answers.add(code_name(failed.value))
                    continue
                if chain.read(handle) == chain.values[level]:
                    raise NotHeldError(f"{NAMES[level]} unwraps as {name} and was read")
        return f"weaker templates refused with {', '.join(sorted(answers)) or 'no effect'}"

    return run


def has_one_usage(level: str) -> Callable[[Lab], str]:
    """A key of this level does not unwrap with WRAP and DECRYPT beside its own usage."""

    def run(lab: Lab) -> str:
        chain = _Chain(lab)
        attributes = secret_key(_USAGE[level], Cka.WRAP, Cka.DECRYPT, Cka.UNWRAP)
        answers = set()
        for parent in chain.parents(level):
            chain.unwrap(level, parent, lab.levels()[level])
            try:
                chain.unwrap(level, parent, attributes)
            except CallError as failed:
                answers.add(code_name(failed.value))
                continue
            raise NotHeldError(f"{NAMES[level]} unwraps with WRAP and DECRYPT too")
        return f"more usages refused with {', '.join(sorted(answers))}"

    return run


def forms_of_unwrap_template(lab: Lab) -> str:
    """Which forms of CKA_UNWRAP_TEMPLATE a new transport key may have; the profile names one."""
    taken = []
    for form in UnwrapTemplate:
        try:
            lab.transport_like(replace(lab.profile, unwrap_template=form))
        except CallError:
            continue
        taken.append(form.value)
    chosen = lab.profile.unwrap_template.value
    return f"taken: {', '.join(taken) or 'no form'}; the profile sets {chosen}"


_CHANGES: Final[tuple[Attributes, ...]] = (
    {Cka.DECRYPT: True},
    {Cka.EXTRACTABLE: True},
    {Cka.SENSITIVE: False},
)


def cannot_be_changed(lab: Lab) -> str:
    """C_SetAttributeValue switches nothing on, on a session key made with the policy."""
    chain = _Chain(lab)
    key = chain.unwrap("session_key", 0, lab.levels()["session_key"])
    return _no_change_holds(lab, lambda change: _set(lab, key, change), "C_SetAttributeValue")


def cannot_be_copied(lab: Lab) -> str:
    """C_CopyObject makes no copy with other attributes."""
    chain = _Chain(lab)
    key = chain.unwrap("session_key", 0, lab.levels()["session_key"])

    def copy(change: Attributes) -> int:
        return lab.calls.copy_object(key, Template({Cka.TOKEN: False, **change}))

    return _no_change_holds(lab, copy, "C_CopyObject")


def _set(lab: Lab, key: int, change: Attributes) -> int:
    lab.calls.set_attributes(key, Template(change))
    return key


def _no_change_holds(lab: Lab, act: Callable[[Attributes], int], function: str) -> str:
    answers = set()
    for change in _CHANGES:
        [(kind, wanted)] = change.items()
        try:
            handle = act(change)
        except CallError as failed:
            answers.add(code_name(failed.value))
            continue
        if lab.calls.attribute(handle, kind) == bytes([bool(wanted)]):
            raise NotHeldError(f"{function} turned CKA_{Cka(kind).name} to {bool(wanted)}")
    return f"changes refused with {', '.join(sorted(answers)) or 'no effect'}"
