"""One deployment for all tests of the command line that leave it usable for the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.deployment import Cli, make_dev, seal_patients


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A development deployment with the sealed table ``patients`` (ward), in processes."""
    cli = make_dev(tmp_path_factory.mktemp("cli"))
    seal_patients(cli, "patients")
    return cli


@pytest.fixture
def own(tmp_path: Path) -> Cli:
    """A development deployment that a test may change."""
    return make_dev(tmp_path)


@pytest.fixture
def bare(tmp_path: Path) -> Cli:
    """The command line in an empty folder."""
    return Cli(tmp_path)
