"""The browser's SASLprep knows Latin text: each character is judged as the full tables do."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations_with_replacement

from tests.web.peer import Peer
from twinlock.core.scram.saslprep import saslprep
from twinlock.errors import CallerError

LAST = 0x2FFF
"""Past the last Latin block, and far into others."""
REFUSED = {"code": "factor.passphrase-invalid"}


def prepared(text: str, by: Callable[[str], str] = saslprep) -> object:
    """The prepared text, or what refuses it."""
    try:
        return by(text)
    except CallerError as error:
        return {"code": error.code}


def test_every_character_is_mapped_as_in_unicode_3_2_or_refused(peer: Peer) -> None:
    """R-SCRAM-2: never to something else, which would be another password."""
    texts = [chr(code) for code in range(1, LAST) if not 0xD800 <= code < 0xE000]
    answers = peer.call("saslprep", texts=texts)
    different = [t for t, a in zip(texts, answers, strict=True) if a not in (REFUSED, prepared(t))]
    assert different == []
    taken = [text for text, answer in zip(texts, answers, strict=True) if answer != REFUSED]
    assert len(taken) > 900
    assert set("abzAZ09 ~äöüßéñçøåłşžőÆ€–") <= set(taken)


def test_texts_are_composed_and_ordered_as_in_unicode_3_2(peer: Peer) -> None:
    """R-SCRAM-2: marks after letters, in every order."""
    marks = [chr(code) for code in (0x300, 0x301, 0x307, 0x308, 0x323, 0x327, 0x328, 0x31B, 0x338)]
    pairs = list(combinations_with_replacement(marks, 2))
    texts = [letter + b + a for letter in "aeioucszkhAOUſßǆ" for a, b in pairs]
    letters = [chr(c) for c in (*range(0x20, 0x7F), *range(0xA0, 0x250), *range(0x1E00, 0x1EFA))]
    draw = random.Random(4013)
    texts += ["".join(draw.choices([*letters, *marks], k=draw.randint(1, 12))) for _ in range(3000)]
    answers = peer.call("saslprep", texts=texts)
    different = [t for t, a in zip(texts, answers, strict=True) if a not in (REFUSED, prepared(t))]
    assert different == []
    assert answers.count(REFUSED) < len(texts) / 2


def test_what_is_not_latin_is_refused(peer: Peer) -> None:
    """R-SCRAM-2: other scripts have rules that stand in tables which browsers do not have."""
    texts = ["", "\u0007", "Ελλάς", "пароль", "密码", "שלום", "ǅ\u0221", "\U0001f511", "\ud800"]
    assert peer.call("saslprep", texts=texts) == [REFUSED] * len(texts)
