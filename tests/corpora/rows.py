"""The rows of a corpus file, and a skip where there is no folder."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = os.environ.get("LLMGUARD_CORPORA", "")
needs_corpora = pytest.mark.skipif(not FOLDER, reason="LLMGUARD_CORPORA names no folder")


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of `name`, which may be gzipped."""
    path = Path(FOLDER, name)
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.decode("utf-8").split("\n") if line]
