"""One server of commands for all tests here; each test has its own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.golden.golden import Commands, Names


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    made = Commands(tmp_path_factory.mktemp("server"))
    yield made
    made.close()


@pytest.fixture
def commands(server: Commands, tmp_path: Path) -> Commands:
    """Runs commands in the test's folder."""
    server.folder = tmp_path
    return server


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names(tmp_path)
