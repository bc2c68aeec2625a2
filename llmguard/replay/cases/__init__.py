"""Cases: logged calls as files that must hold from then on. Pure, but for `files`, which reads and writes them.

Reading order: `case` (what a case is), `serialization` (to JSON and back, strictly), `case_schema` (the published contract
of a file), `failure_keys` (which failures are the same), `promotion` (a logged call into a case).
"""

from llmguard.replay.cases.case import Case, Expect, refuse_names
from llmguard.replay.cases.case_schema import CASE_SCHEMA, CASE_VERSION
from llmguard.replay.cases.failure_keys import failure_key, slug_of
from llmguard.replay.cases.promotion import case_of, expect_of_review, expect_of_status
from llmguard.replay.cases.serialization import (
    MAX_CASE_BYTES,
    case_from_json,
    case_from_text,
    case_text,
    case_to_json,
    pretty_lines,
)

__all__ = [
    "CASE_SCHEMA",
    "CASE_VERSION",
    "MAX_CASE_BYTES",
    "Case",
    "Expect",
    "case_from_json",
    "case_from_text",
    "case_of",
    "case_text",
    "case_to_json",
    "expect_of_review",
    "expect_of_status",
    "failure_key",
    "pretty_lines",
    "refuse_names",
    "slug_of",
]
