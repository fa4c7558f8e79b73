"""The factors as a member holds them: a key file on this computer, a passphrase to type."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Final, Self

from twinlock.core.factors import Parameters
from twinlock.core.factors.device_key import DeviceKeyFactor
from twinlock.core.factors.passphrase import PassphraseFactor
from twinlock.core.keyfile import KEY_SIZE, decode_key_file, encode_key_file
from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret
from twinlock.errors import CallerError
from twinlock.files import read_private, write_private

_MAX_KEY_FILE: Final = 4096


class DeviceKey:
    """The factor of a device key file. The file is read when it is needed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._factor = DeviceKeyFactor(self._read)

    @property
    def kind(self) -> str:
        """``device-key``."""
        return self._factor.kind

    def new_parameters(self, randomness: Randomness) -> Parameters:
        """See ``DeviceKeyFactor``."""
        return self._factor.new_parameters(randomness)

    def output(self, parameters: Parameters) -> Secret:
        """See ``DeviceKeyFactor``. Raises ``file.*`` or ``key-file.damaged``."""
        return self._factor.output(parameters)

    @classmethod
    def create(cls, path: str | Path, *, randomness: Randomness = os.urandom) -> Self:
        """Make a new device key file with mode 0600. Raises ``file.exists``."""
        text = encode_key_file("device-key", Secret(randomness(KEY_SIZE)))
        write_private(Path(path), text.encode("ascii"), exclusive=True)
        return cls(path)

    def _read(self) -> Secret:
        return decode_key_file("device-key", read_private(self.path, max_size=_MAX_KEY_FILE))


class Passphrase(PassphraseFactor):
    """A passphrase. ``Passphrase.prompt()`` asks on the terminal when it is needed."""

    def __init__(self, text: str) -> None:
        super().__init__(lambda: text)

    @staticmethod
    def prompt(prompt: str = "Passphrase: ", *, confirm: bool = False) -> PassphraseFactor:
        """Ask without echo; with ``confirm`` twice. The answer is kept for this factor only."""
        answers: list[str] = []

        def ask() -> str:
            if not answers:
                text = getpass.getpass(prompt)
                if confirm and getpass.getpass("Once more: ") != text:
                    raise CallerError(
                        "factor.passphrase-mismatch",
                        "The two passphrases differ.",
                        hint="Run the command again.",
                    )
                answers.append(text)
            return answers[0]

        return PassphraseFactor(ask)
