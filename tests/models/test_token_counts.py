"""Exact counts where the vocabulary is on this machine, no count where it is not, and never a connection for one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import tiktoken
import tiktoken.registry

from llmguard.models import token_counts
from llmguard.models.token_counts import Vocabulary, counter, fetch_vocabulary


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in the place of tiktoken's cache, and nothing remembered of another."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    token_counts._installed_encoding.cache_clear()
    yield tmp_path
    token_counts._installed_encoding.cache_clear()


@pytest.fixture
def bytes_at_hand(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> tiktoken.Encoding:
    """A vocabulary of single bytes and "ab", in the cache as o200k_base."""
    url, content = "https://example.invalid/o200k_base.tiktoken", b"a vocabulary"
    (cache_folder / hashlib.sha1(url.encode()).hexdigest()).write_bytes(content)
    known = Vocabulary(url, hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(token_counts.VOCABULARIES, "o200k_base", known)
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256}
    encoding = tiktoken.Encoding(
        "o200k_base", pat_str=r"\s+(?!\S)|\s+|\S+", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 300}
    )
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "o200k_base", encoding)
    return encoding


def exact(text: str, model: str = "gpt-5") -> int:
    by = counter(model)
    assert by is not None
    return by(text)


def test_without_the_vocabulary_there_is_no_counter() -> None:
    """No connection is tried, and no exception comes."""
    assert counter("gpt-5-mini") is None


@pytest.mark.usefixtures("bytes_at_hand")
def test_with_it_the_count_is_exact() -> None:
    """For a model that tiktoken knows, also by a router's name of it."""
    assert exact("abba", "gpt-5-mini") == 3
    assert exact("abba", "openai/gpt-4o") == 3
    assert counter("smollm2") is None


def test_a_broken_file_is_left_alone(cache_folder: Path) -> None:
    """tiktoken would delete it and go to the web; here it is an estimate."""
    vocabulary = token_counts.VOCABULARIES["o200k_base"]
    path = cache_folder / hashlib.sha1(vocabulary.url.encode()).hexdigest()
    path.write_bytes(b"half of it")
    assert counter("gpt-5") is None
    assert path.read_bytes() == b"half of it"


@pytest.mark.parametrize("folder", ["", "/does/not/exist", "\x7f"])
def test_a_cache_that_is_no_folder_is_an_estimate(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty name turns tiktoken's cache off."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", folder)
    assert counter("gpt-5") is None


def test_the_folder_is_found_as_tiktoken_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its own variable, then the older one, then the folder for temporary files."""
    assert token_counts._cache_folder() == tmp_path
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", "/other")
    assert token_counts._cache_folder() == Path("/other")
    monkeypatch.delenv("DATA_GYM_CACHE_DIR")
    found = token_counts._cache_folder()
    assert found is not None
    assert found.name == "data-gym-cache"


@pytest.mark.usefixtures("bytes_at_hand")
@pytest.mark.parametrize("text", ["<|endoftext|>", "\ud800", "\x00", ""])
def test_hostile_text_is_counted_as_text(text: str) -> None:
    """A special token is the characters it is made of, and a lone surrogate does not raise."""
    assert exact(text) >= len(text)


@pytest.mark.usefixtures("bytes_at_hand")
def test_text_without_end_is_counted_in_pieces() -> None:
    """A million spaces at once make tiktoken panic: its pattern for them looks ahead."""
    assert exact(" " * 1_000_000) == 1_000_000
    assert exact("c" * 300_000) == 300_000
    assert exact("ab " * 100_000) == 200_000


def test_pieces_are_the_text_and_are_cut_before_a_space() -> None:
    """Where a token begins anyway."""
    text = "word " * 10_000
    pieces = list(token_counts._pieces(text))
    assert "".join(pieces) == text
    assert all(len(piece) <= token_counts.MAX_PIECE for piece in pieces)
    assert all(piece.startswith(" ") for piece in pieces[1:])


def test_fetching_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers is left behind."""
    hanging = Event()
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: hanging.wait(10))
    started = time.monotonic()
    assert fetch_vocabulary("gpt-5", timeout_s=0.1) is False
    assert time.monotonic() - started < 5
    hanging.set()


@pytest.mark.usefixtures("bytes_at_hand")
def test_fetching_what_is_there_or_not_known_needs_no_web() -> None:
    """True where counts are exact from now on."""
    assert (fetch_vocabulary("gpt-5"), fetch_vocabulary("smollm2")) == (True, False)


def test_a_failure_is_remembered(cache_folder: Path, bytes_at_hand: tiktoken.Encoding) -> None:
    """A missing file is looked for once, not for every call."""
    (path,) = cache_folder.iterdir()
    content = path.read_bytes()
    path.unlink()
    first = counter("gpt-5")
    path.write_bytes(content)
    assert (first, counter("gpt-5")) == (None, None)


def test_a_vocabulary_that_cannot_be_loaded_is_an_estimate(
    bytes_at_hand: tiktoken.Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever tiktoken raises stays here."""

    def broken(name: str) -> None:
        raise ValueError("no such encoding")

    monkeypatch.setattr(tiktoken, "get_encoding", broken)
    assert counter("gpt-5") is None
