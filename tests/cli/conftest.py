"""One deployment for all tests of the command line that leave it usable for the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.deployment import Cli, copy_dev, make_dev, seal_patients


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A development deployment that is only copied."""
    return make_dev(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="session")
def shared(original: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A development deployment with the sealed table ``patients`` (ward)."""
    cli = copy_dev(original, tmp_path_factory.mktemp("shared"))
    seal_patients(cli, "patients")
    return cli


@pytest.fixture
def own(original: Cli, tmp_path: Path) -> Cli:
    """A development deployment that a test may change."""
    return copy_dev(original, tmp_path)


@pytest.fixture
def bare(tmp_path: Path) -> Cli:
    """The command line in an empty folder."""
    return Cli(tmp_path)
