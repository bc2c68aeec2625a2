"""The store of outcomes: every guarded call from its start to its outcome, reviews of it, and certificates.

Read in this order: `protocol` (what a store must do), `query` (which calls are meant), `rows` and `reviews` (what is kept
of a call, and of what people say), `review_store` and `base_store` (what is the same in every store), `scanning_store`
and `memory` (a store without an index), then `sqlite/`: `tables`, `store`, `writer`; `locations` finds a
store by its URL.
"""

from __future__ import annotations

from llmguard.certification import StoredCertificate
from llmguard.log.audits import Audit, judged_pairs
from llmguard.log.base_store import BaseStore
from llmguard.log.locations import locate, open_log
from llmguard.log.memory import MemoryLog
from llmguard.log.protocol import OutcomeStore
from llmguard.log.query import Query
from llmguard.log.reviews import Review
from llmguard.log.rows import Row
from llmguard.log.scanning_store import ScanningStore, StoreContents
from llmguard.log.sqlite.store import OutcomeLog
from llmguard.log.sqlite.writer import LogWarning
from llmguard.log.stats import GuardStats, ModelUse

__all__ = [
    "Audit",
    "BaseStore",
    "GuardStats",
    "LogWarning",
    "MemoryLog",
    "ModelUse",
    "OutcomeLog",
    "OutcomeStore",
    "Query",
    "Review",
    "Row",
    "ScanningStore",
    "StoreContents",
    "StoredCertificate",
    "judged_pairs",
    "locate",
    "open_log",
]
