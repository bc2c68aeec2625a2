"""From candidates and a schema to one value with its repairs, or to violations that say why there is none.

Reading order: `replies` (the entry), `choice` (which candidate is the answer), `candidate_results` (one candidate and the
schema), `fitting` (a value and the schema, part by part) with `fits`, `objects`, `wrappers`, `texts`; `unbracketed` and
`sentences` (replies without brackets), `afterwards` (the text after the value) and `quotations` (values of the inputs)
with `stems`, `echoes` (values that are no answer), `schema_plan` and `nodes` (the schema prepared), `rules` (which
repairs a guard allows).
"""

from llmguard.parsing.coerce.replies import read
from llmguard.parsing.coerce.result import Reading
from llmguard.parsing.coerce.rules import STANDARD, USUAL, ReadingRules, reading_rules

__all__ = ["STANDARD", "USUAL", "Reading", "ReadingRules", "read", "reading_rules"]
