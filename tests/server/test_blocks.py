"""An encrypted session key opens one release, as long as its transport key lives."""

from __future__ import annotations

import pytest

from twinlock.errors import DataError
from twinlock.server.blocks import SeenBlocks


def test_a_block_is_taken_once_for_each_transport_key() -> None:
    """R-SRV-10."""
    blocks = SeenBlocks()
    blocks.take(b"key 1", b"block")
    blocks.take(b"key 1", b"another block")
    blocks.take(b"key 2", b"block")
    with pytest.raises(DataError) as caught:
        blocks.take(b"key 1", b"block")
    assert caught.value.code == "release.key-reused"


def test_blocks_of_transport_keys_long_gone_are_forgotten() -> None:
    blocks = SeenBlocks()
    for number in range(5):
        blocks.take(b"key %d" % number, b"block")
    blocks.take(b"key 0", b"block")
    with pytest.raises(DataError):
        blocks.take(b"key 4", b"block")
