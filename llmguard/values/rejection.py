"""Why a text was not read."""

from __future__ import annotations

from typing import NamedTuple


class Rejection(NamedTuple):
    """Why a text is not read as what the schema expects. `rule` names the reason for re-asks and the log."""

    rule: str
    message: str
