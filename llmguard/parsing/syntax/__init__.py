"""Text to candidate JSON values, strictly first, then by named repairs, each reported. Knows no schema.

A reply may hold several values: thoughts, drafts, quotations, the answer. Each becomes a `Candidate` with the `place` where
it stands. Nothing here chooses between two answers; `coerce` does, with the schema.

Reading order: `replies` (the entry), `strict` (what `json.loads` reads), `search` (where values are in a text) with
`thoughts` (the tags around them), `placement` (on its own, after a label, in a sentence) and `wording` (the tables of words
that refuse or excuse), `tolerant` (one value of broken JSON) with `containers`, `plain`, `gaps`, `scalars` and `strings`,
`notes` (the record of repairs).
"""

from llmguard.parsing.syntax.candidates import Candidate, Parsed
from llmguard.parsing.syntax.ends import ends_by_itself
from llmguard.parsing.syntax.notes import KINDS
from llmguard.parsing.syntax.placement import Place
from llmguard.parsing.syntax.replies import parse_candidates, parse_strict
from llmguard.parsing.syntax.strict import MAX_CHARS, MAX_DEPTH, same_json

__all__ = [
    "KINDS",
    "MAX_CHARS",
    "MAX_DEPTH",
    "Candidate",
    "Parsed",
    "Place",
    "ends_by_itself",
    "parse_candidates",
    "parse_strict",
    "same_json",
]
