"""Several samples of one request: compared, voted on, stopped, accepted.

Reading order: `forms` (canonical forms), `ballots` (what a vote comes to), `keyed`, `windows`, `clusters` (with `edits`),
`vote` (whole values), `sequences` (with `alignment`), `comparators` (by name), `stopping`, `plan`, `known_fields`.
"""

from llmguard.consistency.ballots import ABSENT, INVALID, Ballot, Comparator, FieldVote, Missing
from llmguard.consistency.comparators import comparator, equivalent, exact, list_of, money, number, set_of, text
from llmguard.consistency.known_fields import refuse_unknown_fields
from llmguard.consistency.plan import SelfConsistency, Settled
from llmguard.consistency.stopping import Counts, Draw, Fixed, Plan, Predictive, Stop, overtaking
from llmguard.consistency.vote import RecordVote, medoid, vote_on
from llmguard.outcome import Alternative, StopReason

__all__ = [
    "ABSENT",
    "INVALID",
    "Alternative",
    "Ballot",
    "Comparator",
    "Counts",
    "Draw",
    "FieldVote",
    "Fixed",
    "Missing",
    "Plan",
    "Predictive",
    "RecordVote",
    "SelfConsistency",
    "Settled",
    "Stop",
    "StopReason",
    "comparator",
    "equivalent",
    "exact",
    "list_of",
    "medoid",
    "money",
    "number",
    "overtaking",
    "refuse_unknown_fields",
    "set_of",
    "text",
    "vote_on",
]
