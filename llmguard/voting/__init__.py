"""Several samples of one request: compared, voted on, stopped, accepted.

Reading order: `normal_forms` (canonical forms), `ballots` (what a vote comes to), `keyed`, `windows`, `clusters` (with `edits`),
`vote` (whole values), `sequences` (with `alignment`), `comparators` (by name), `stopping`, `plan`, `known_fields`.
"""

from llmguard.core.outcome import Alternative, StopReason
from llmguard.voting.comparators import comparator, equivalent, exact, list_of, money, number, set_of, text
from llmguard.voting.field_paths import refuse_unknown_fields
from llmguard.voting.record_vote import RecordVote, medoid, vote_on
from llmguard.voting.self_consistency import SelfConsistency, VoteResult
from llmguard.voting.stopping import Counts, Draw, Fixed, Plan, Predictive, Stop, overtaking
from llmguard.voting.votes import ABSENT, INVALID, Ballot, Comparator, FieldVote, Missing

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
    "Stop",
    "StopReason",
    "VoteResult",
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
