"""Candidates and a schema to one value with receipts, or to violations that say why there is none.

Reading order: `replies` (the way in), `choice` (which candidate is the answer), `trials` (one candidate and the schema),
`fitting` (a value under the schema, part by part) with `objects`, `wrappers`, `texts`, `numbers`, `dates`, `words`;
`bare` (replies without brackets), `echoes` (values that say nothing), `plan` and `nodes` (the schema prepared), `rules`
(which repairs a guard allows).
"""

from llmguard.parsing.coerce.replies import read
from llmguard.parsing.coerce.result import Reading
from llmguard.parsing.coerce.rules import STANDARD, USUAL, ReadingRules, reading_rules

__all__ = ["STANDARD", "USUAL", "Reading", "ReadingRules", "read", "reading_rules"]
