"""Self-consistency: several samples of one request are compared, voted on, stopped and accepted.

`SelfConsistency` is what a guard takes; the comparators with options are functions (`from llmguard.voting import number`).

Reading order: `self_consistency` (the whole), `stopping` (when to stop), `votes` (candidates and leader), `normal_forms` and
`keyed_comparators`, `tolerance_windows`, `cluster_comparators` (with `edit_distance`), `record_vote` (whole values),
`list_comparators` (with `alignment`), `comparators` (by name), `field_paths`; then `scores` and `confidence`, which rank
single samples.
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
