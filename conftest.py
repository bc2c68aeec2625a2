"""README, docs and docstrings run as tests (Sybil), each document in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

pytest_plugins = ["tests.isolation"]

ROOT = Path(__file__).parent
REGISTRY = ("schemas", "prompts", "examples")  # what an example in a document may name by a relative path


@pytest.fixture(scope="module")
def folder_of_a_reader() -> Iterator[None]:
    """A fresh working folder, as a reader's would be: what an example writes (a log, say) does not stay."""
    with tempfile.TemporaryDirectory() as folder:
        for name in REGISTRY:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, Path(folder, name))
        with contextlib.chdir(folder):
            yield


# Sybil uses the fixtures it is told, also of those that every test has by itself.
FIXTURES = ("folder_of_a_reader", "refused_connections", "environment_of_nobody")

# DECISIONS.md shows code that was decided against, CHANGELOG.md code of its time.
documents = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["DECISIONS.md", "CHANGELOG.md", "tests/*", ".venv/*"],
    fixtures=FIXTURES,
)
docstrings = Sybil(
    parsers=[DocTestParser()],
    patterns=["llmguard/*.py", "llmguard/**/*.py"],
    excludes=["*/migrations/*"],
    document_types={".py": PythonDocStringDocument},
    fixtures=FIXTURES,
)
pytest_collect_file = (documents + docstrings).pytest()
