"""The HTTP libraries of the installed SDK: openai 3.x is built on httpx2, 2.x on httpx.

llmguard uses what both have. Loaded at the first request, because importing the SDK takes half a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import openai

if TYPE_CHECKING:
    from httpcore2._backends.sync import SyncStream as _Stream

if TYPE_CHECKING or any(kind.__module__ == "httpx2" for kind in openai.DefaultHttpxClient.__mro__):
    import httpcore2 as httpcore
    import httpx2 as httpx
else:
    import httpcore
    import httpx

# The stream around a connected socket: httpcore exports only what also connects it, and looks the name up without a limit.
SyncStream: type[_Stream] = import_module(f"{httpcore.__name__}._backends.sync").SyncStream

__all__ = ["SyncStream", "httpcore", "httpx"]
