"""One HTTP reply as it arrived: status, headers, and the bytes of its body up to a limit."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import orjson

from llmguard.core.canonical import Json

EVIDENCE_LIMIT = 65_536
"""Bytes kept of a body over the limit: enough to see what it is, and few enough for a log."""


@dataclass(frozen=True, slots=True)
class HTTPExchange:
    """What a server replied. `body` is decompressed; `incomplete_reason` says why it is not whole, empty if it is.

    `headers` has lower-case names.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    incomplete_reason: str = ""


class CappedBody:
    """Collects and decompresses a body, and holds at most `limit` bytes and one chunk of it.

    A megabyte of zeros may arrive as a kilobyte of gzip, so the limit is on the decompressed size.
    """

    __slots__ = ("_inflate", "_limit", "_parts", "_size", "incomplete_reason")

    def __init__(self, content_encoding: str, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._parts: list[bytes] = []
        self._inflate = _inflater(content_encoding) if content_encoding else None
        self.incomplete_reason = ""

    def add(self, chunk: bytes) -> bool:
        """Add a chunk as received; False where no more are needed."""
        if self._inflate is not None:
            try:
                chunk = self._inflate.decompress(chunk, self._limit + 1 - self._size)
            except zlib.error as error:
                self.incomplete_reason = f"the body is not compressed as its content-encoding says ({error})"
                return False
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > self._limit:
            self.incomplete_reason = self._too_large()
        return not self.incomplete_reason

    @property
    def latest(self) -> bytes:
        """The last chunk, decompressed."""
        return self._parts[-1]

    def content(self) -> bytes:
        body = b"".join(self._parts) if len(self._parts) != 1 else self._parts[0]
        return body[:EVIDENCE_LIMIT] if self._size > self._limit else body

    def _too_large(self) -> str:
        digest = sha256(b"".join(self._parts)).hexdigest()
        return (
            f"too_large: the body is over {self._limit} bytes; kept are the first {EVIDENCE_LIMIT} of the"
            f" {self._size} that were read (sha256 {digest})"
        )


def _inflater(content_encoding: str) -> Json:
    """For gzip and deflate, which some servers send unrequested; any other encoding is left as it is, and is not valid JSON."""
    encoding = content_encoding.strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    return zlib.decompressobj() if encoding == "deflate" else None


def parse_json_body(body: bytes) -> Json:
    """The JSON of a body; ValueError where it is invalid.

    orjson refuses what some servers send and Python reads: a lone surrogate, NaN in an unimportant field. And it makes a float of
    an integer of more than 64 bits, which may stand in the arguments of a tool call that are sent as an object.
    """
    if not _LONG_NUMBER(body):
        try:
            return orjson.loads(body)
        except ValueError:
            pass
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


_LONG_NUMBER = re.compile(rb"[0-9]{19}").search
