"""The log of all outcomes: SQLite through SQLAlchemy Core, or memory."""

from __future__ import annotations

from llmguard.certify import Kept
from llmguard.outcome_log.audits import Audit, judged_pairs
from llmguard.outcome_log.log import OutcomeLog
from llmguard.outcome_log.memory import MemoryLog
from llmguard.outcome_log.reviews import Review
from llmguard.outcome_log.rows import Row
from llmguard.outcome_log.stats import GuardStats, ModelUse
from llmguard.outcome_log.writer import LogWarning

__all__ = [
    "Audit",
    "GuardStats",
    "Kept",
    "LogWarning",
    "MemoryLog",
    "ModelUse",
    "OutcomeLog",
    "Review",
    "Row",
    "judged_pairs",
    "open_log",
]

open_log = OutcomeLog.open
