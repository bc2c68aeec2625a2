"""Stores by their URL: one table says which kinds there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmguard import LogError, UsageError
from llmguard.log import MemoryLog, OutcomeStore, locate, locations, open_log
from llmguard.operations.logs import existing_log


def test_two_urls_of_one_file_are_one_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative or absolute, with or without the driver, and through a link."""
    monkeypatch.chdir(tmp_path)
    open_log("sqlite:///log.db").close()
    (tmp_path / "link.db").symlink_to(tmp_path / "log.db")
    urls = ("sqlite:///log.db", f"sqlite:///{tmp_path}/log.db", "sqlite+pysqlite:///./log.db", "sqlite:///link.db")
    assert len({locate(url) for url in urls}) == 1
    assert locate("sqlite:///other.db") != locate("sqlite:///log.db")


def test_what_a_check_says_of_a_file(tmp_path: Path) -> None:
    """Writable, not there yet, or why it cannot be written; nothing is created."""
    assert locate(f"sqlite:///{tmp_path}/log.db").check() == "is not there yet; the first guarded call makes it"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LogError, match="cannot be made: folder"):
        locate(f"sqlite:///{tmp_path}/no/log.db").check()
    open_log(f"sqlite:///{tmp_path}/log.db").close()
    assert locate(f"sqlite:///{tmp_path}/log.db").check().startswith("can be written (")
    with pytest.raises(LogError, match="cannot be written"):
        locate(f"sqlite:///{tmp_path}").check()


@pytest.mark.parametrize("url", ["postgresql://localhost/log", "log.db", "", None])
def test_an_unknown_kind_of_store_is_refused(url: str) -> None:
    """In one sentence that shows a URL that works."""
    with pytest.raises(UsageError, match="sqlite:///"):
        locate(url)


def test_a_new_kind_of_store_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a log by its URL then works, without another change."""
    store = MemoryLog()

    class Shelf:
        def refuse_missing(self) -> None:
            return

        def open(self) -> OutcomeStore:
            return store

        def check(self) -> str:
            return "is there"

    monkeypatch.setattr(locations, "LOCATIONS", {**locations.LOCATIONS, "shelf": lambda url: Shelf()})
    assert existing_log("shelf+fast://x") is store is open_log("shelf://x")
