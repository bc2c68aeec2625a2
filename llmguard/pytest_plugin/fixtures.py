"""What the plugin's fixtures do: replay a case against a guard, a fresh log, and no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from llmguard.connections import Opening, listening
from llmguard.outcome_log import OutcomeLog


class NetworkRefused(ConnectionError):
    """A test with the fixture `no_network` reached for another machine."""


def fresh_log(folder: Path) -> Iterator[OutcomeLog]:
    log = OutcomeLog.open(f"sqlite:///{folder / 'llmguard.db'}")
    try:
        yield log
    finally:
        log.close()


def without_network() -> Iterator[list[str]]:
    """The hosts that were refused so far; one that is left at the end fails the test, also where the code under test took
    the refusal for a network's trouble and went on."""
    refused: list[str] = []

    def refuse(opening: Opening) -> None:
        if not opening.is_loopback:
            refused.append(opening.host)
            raise NetworkRefused(f"the test may not reach {opening.host!r}: it uses the fixture no_network")

    with listening(refuse):
        yield refused
    if refused:
        pytest.fail(f"{len(refused)} connection(s) refused by no_network; the first: to {refused[0]!r}", pytrace=False)
