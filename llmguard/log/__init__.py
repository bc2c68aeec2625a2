"""The log of all outcomes: SQLite through SQLAlchemy Core, or memory."""

from __future__ import annotations

from llmguard.certification import StoredCertificate
from llmguard.log.audits import Audit, judged_pairs
from llmguard.log.memory import MemoryLog
from llmguard.log.reviews import Review
from llmguard.log.rows import Row
from llmguard.log.sqlite.store import OutcomeLog
from llmguard.log.sqlite.writer import LogWarning
from llmguard.log.stats import GuardStats, ModelUse

__all__ = [
    "Audit",
    "GuardStats",
    "LogWarning",
    "MemoryLog",
    "ModelUse",
    "OutcomeLog",
    "Review",
    "Row",
    "StoredCertificate",
    "judged_pairs",
    "open_log",
]

open_log = OutcomeLog.open
