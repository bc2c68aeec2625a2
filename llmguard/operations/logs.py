"""Opening a log to read it: one that is not there is an answer, and never a new file."""

from __future__ import annotations

from llmguard.core.errors import LogError
from llmguard.log import OutcomeStore, locate

SHORTEST_PREFIX = 4
SHOWN_IDS = 5


def existing_log(url: str) -> OutcomeStore:
    """The log at `url`; LogError where there is none yet."""
    location = locate(url)
    location.refuse_missing()
    return location.open()


def full_id(log: OutcomeStore, prefix: str) -> str:
    """The one id that begins so; LogError where there is none, or more than one."""
    if len(prefix) < SHORTEST_PREFIX:
        raise LogError(f"{prefix!r} is too little of an id. Give at least {SHORTEST_PREFIX} of its characters.")
    ids = log.ids(prefix, SHOWN_IDS + 1)
    if len(ids) == 1 or prefix in ids:
        return prefix if prefix in ids else ids[0]
    if not ids:
        raise LogError(f"no call whose id begins with {prefix!r} in the log. `llmguard log list` shows the ids.")
    listed = ", ".join(ids[:SHOWN_IDS]) + (", …" if len(ids) > SHOWN_IDS else "")
    raise LogError(f"more than one id begins with {prefix!r}: {listed}. Give more of its digits.")
