"""The command line's name for `llmguard.safe_text`, which test reports print through as well."""

from __future__ import annotations

from llmguard.safe_text import clip, safe, safe_json, safe_line

__all__ = ["clip", "safe", "safe_json", "safe_line"]
