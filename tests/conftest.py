"""What the tests share: how hard hypothesis looks, a free port, and that the corpora are scored only where they are."""

from __future__ import annotations

import gc
import os
import socket

import pytest
from hypothesis import settings

# Small runs while writing; where changes are checked, the same examples each time, so that a red run is one's own.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
# For `make quick`: a property that is plainly broken is seen, the same each time.
settings.register_profile("quick", max_examples=3, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

collect_ignore = [] if os.environ.get("LLMGUARD_CORPORA") else ["corpora"]


def pytest_collection_finish() -> None:
    """Modules and collected tests live as long as the run: looking for garbage among them again takes a tenth of the time."""
    gc.freeze()


@pytest.fixture
def free_port() -> int:
    """A port on 127.0.0.1 that nobody listened on a moment ago; a server that can takes port 0 instead."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
