"""Opening a log to read it: one that is not there is an answer, and never a new file."""

from __future__ import annotations

from llmguard.core.errors import LogError
from llmguard.core.redaction import redact_text
from llmguard.log import OutcomeStore, open_log
from llmguard.log.sqlite.database import path_of

SHORTEST_PREFIX = 4
SHOWN_IDS = 5


def existing_log(url: str) -> OutcomeStore:
    """The log at `url`; LogError where there is none yet."""
    path = path_of(url)
    if path.is_dir():
        raise LogError(f"{redact_text(url)} is the folder {str(path)!r}. A log is a file: give --log sqlite:///FILE.")
    if not path.is_file():
        raise LogError(
            f"there is no log at {redact_text(url)} (file {str(path)!r}). The first guarded call makes it; to read another"
            " one, give --log URL or set LLMGUARD_LOG."
        )
    return open_log(url)


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
