"""What a new enrolment is made with: files, keys on cards, answers. Undone when it is not made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from twinlock.agent.factors import DeviceKey
from twinlock.agent.recovery import RecoveryCode
from twinlock.cli.cards import enrolled_key, smart_card
from twinlock.cli.member_side import passphrase
from twinlock.cli.recovery import sheet, write_sheet
from twinlock.cli.terminal import Terminal
from twinlock.core.factors import EnrollableFactor
from twinlock.core.secret import SecretText


@dataclass(frozen=True, slots=True)
class Wanted:
    """The factors that a person named for one enrolment; ``prompt`` asks for a passphrase."""

    key: Path | None = None
    prompt: str | None = None
    passphrase_env: str | None = None
    card: str | None = None
    card_key: str | None = None

    @property
    def nothing(self) -> bool:
        """Whether no factor was named."""
        return not (self.key or self.prompt or self.card)


@dataclass(slots=True)
class Made:
    """The factors, ready to enrol, and what to do if nothing comes of it."""

    factors: list[EnrollableFactor] = field(default_factory=list)
    undo: ExitStack = field(default_factory=ExitStack)
    recovery: SecretText | None = None

    def recovery_code(self, name: str, path: Path) -> RecoveryCode:
        """Make a recovery code and write its page; ``-`` leaves it to ``shown``."""
        code, text = RecoveryCode.create()
        if str(path) == "-":
            self.recovery = text
        else:
            write_sheet(path, name, text)
            self.undo.callback(path.unlink, missing_ok=True)
        return code

    def facts(self, recovery: Path | None) -> dict[str, Any]:
        """Return what the result says about the recovery code."""
        if self.recovery is not None:
            return {"recovery_code": self.recovery.reveal()}
        return {} if recovery is None else {"recovery": str(recovery)}

    def shown(self, name: str, recovery: Path | None) -> list[RenderableType]:
        """The same for people."""
        if self.recovery is not None:
            return ["\n" + sheet(name, self.recovery)]
        return [] if recovery is None else [f"\nPrint {recovery}, then delete it.\n"]


@contextmanager
def making(terminal: Terminal, wanted: Wanted) -> Iterator[Made]:
    """Make the factors for a block that enrols them.

    Raises ``file.exists``, ``factor.*``, ``card.*`` or ``token.*``.
    """
    made = Made()
    with made.undo:
        if wanted.key is not None:
            device = DeviceKey.create(wanted.key)
            made.undo.callback(device.path.unlink, missing_ok=True)
            made.factors.append(device)
        if wanted.prompt is not None:
            made.factors.append(
                passphrase(terminal, wanted.passphrase_env, wanted.prompt, confirm=True)
            )
        if wanted.card is not None:
            card = smart_card(terminal, wanted.card)
            key, is_new = enrolled_key(card, wanted.card_key)
            if is_new:
                made.undo.callback(card.destroy_key, key)
            made.factors.append(card.factor(key))
        yield made
        made.undo.pop_all()
