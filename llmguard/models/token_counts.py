"""Exact token counts by tiktoken, where its vocabulary is on this machine; elsewhere the caller estimates.

tiktoken downloads a vocabulary that is not in its cache, without a timeout. So the file is checked first, and counting
opens no connection and raises nothing. `fetch_vocabulary` is the only place that downloads.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmguard.prompts.tokens import Counter

if TYPE_CHECKING:
    from tiktoken import Encoding

MAX_PIECE = 16_384
"""Characters passed to tiktoken at once: 0.14 panics, past `except Exception`, on a million spaces, and its time grows
faster than the text."""


class Vocabulary(NamedTuple):
    """The address of a vocabulary, and the hash that tiktoken expects (tiktoken_ext/openai_public.py)."""

    url: str
    sha256: str


_O200K = Vocabulary(
    "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
)
_CL100K = Vocabulary(
    "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
)
VOCABULARIES = {"o200k_base": _O200K, "o200k_harmony": _O200K, "cl100k_base": _CL100K}


def counter(model: str) -> Counter | None:
    """Counts with the model's vocabulary; None where the model is unknown or its vocabulary is not on this machine."""
    name = encoding_name(model)
    encoding = _installed_encoding(name) if name else None
    return None if encoding is None else lambda text: _length(text, encoding)


@cache
def encoding_name(model: str) -> str | None:
    """tiktoken's name for the vocabulary of `model`, without loading it. `openai/gpt-4o` is taken as `gpt-4o`.

    >>> encoding_name("gpt-5-mini"), encoding_name("smollm2")
    ('o200k_base', None)
    """
    from tiktoken.model import encoding_name_for_model

    try:
        name = encoding_name_for_model(model.rpartition("/")[2])
    except KeyError:
        return None
    return name if name in VOCABULARIES else None


def fetch_vocabulary(model: str, *, timeout_s: float = 10.0) -> bool:
    """Download the vocabulary of `model` into tiktoken's cache; whether its counts are exact from now on."""
    name = encoding_name(model)
    if name is None:
        return False
    worker = threading.Thread(target=_load, args=(name,), daemon=True, name="llmguard-vocabulary")
    worker.start()
    worker.join(timeout_s)
    _installed_encoding.cache_clear()
    return not worker.is_alive() and _installed_encoding(name) is not None


@cache
def _installed_encoding(name: str) -> Encoding | None:
    """Loaded once; a missing file is remembered too, and looked for once."""
    return _load(name) if _is_cached(VOCABULARIES[name]) else None


def _load(name: str) -> Encoding | None:
    try:
        import tiktoken

        return tiktoken.get_encoding(name)
    except Exception:  # whatever is wrong with the vocabulary, the caller can estimate
        return None


def _is_cached(vocabulary: Vocabulary) -> bool:
    """Whether tiktoken's cache has the whole file: tiktoken downloads a damaged one again."""
    folder = _cache_folder()
    if folder is None:
        return False
    path = folder / hashlib.sha1(vocabulary.url.encode(), usedforsecurity=False).hexdigest()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == vocabulary.sha256
    except OSError:
        return False


def _cache_folder() -> Path | None:
    """The folder that tiktoken/load.py uses; an empty variable turns its cache off."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return Path(os.environ[variable]) if os.environ[variable] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"


def _length(text: str, encoding: Encoding) -> int:
    """`encode_ordinary` counts special tokens as plain text."""
    return sum(len(encoding.encode_ordinary(piece)) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces, cut before a space, where a token begins anyway; a longer word is cut anywhere."""
    start = 0
    while len(text) - start > MAX_PIECE:
        end = text.rfind(" ", start + 1, start + MAX_PIECE)
        end = end if end > 0 else start + MAX_PIECE
        yield text[start:end]
        start = end
    yield text[start:]
