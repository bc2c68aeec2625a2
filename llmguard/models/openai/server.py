"""The server: its address and key, from arguments or the environment, checked before anything is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from llmguard.core.errors import UsageError
from llmguard.models.transport.failures import redacted_line

KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent to a server on this machine: the SDK needs a key, such servers ignore it."""
_OPENAI_HOSTS = re.compile(r"(?:[a-z0-9-]+\.)*(?:openai\.com|openai\.azure\.com|cognitiveservices\.azure\.com)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`max_reply_bytes`: the most that is read of a reply, decompressed."""

    base_url: str
    api_key: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    max_reply_bytes: int


def resolve_server(
    model: str, *, base_url: str | None, api_key: str | None, headers: Mapping[str, str], max_reply_bytes: int
) -> Server:
    """The server; raises UsageError with the name of the variable to set."""
    url = _checked_url(model, base_url or os.environ.get(URL_VARIABLE) or OPENAI_URL)
    key = api_key or os.environ.get(KEY_VARIABLE) or (NO_KEY if _is_local(url) else "")
    return Server(
        base_url=url, api_key=_checked_key(model, key), headers=dict(headers), max_reply_bytes=max_reply_bytes
    )


def is_openai(url: str) -> bool:
    """Whether OpenAI's own models answer there, at OpenAI or at Azure."""
    return _OPENAI_HOSTS.fullmatch(urlsplit(url).hostname or "") is not None


def _checked_url(model: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"base_url of model {model!r} is {redacted_line(url)!r}; expected http:// or https:// with a host and without a"
            f" password. Give the address that ends in /v1, or unset {URL_VARIABLE}."
        )
    return url


def _checked_key(model: str, key: str) -> str:
    if not key:
        raise UsageError(
            f"there is no API key for model {model!r}: the variable {KEY_VARIABLE} is not set. Set it, or pass api_key="
            f" or client= to OpenAIModel (api_key={NO_KEY!r} for a server that asks for none)."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            f"the API key for model {model!r} holds a space, a line break or a character outside ASCII. Look at how"
            f" {KEY_VARIABLE} or api_key= is read; the key itself is not shown here."
        )
    return key


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
