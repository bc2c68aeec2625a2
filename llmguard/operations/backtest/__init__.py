"""The log judged again: what would today's guard do with yesterday's replies?

Reading order: `judging` (one outcome), `summary` (what many come to), `state` (a replay that can be ended and continued),
`pool` (processes), `rerun` (the same inputs, new replies by a real model).
"""

from llmguard.operations.backtest.backtesting import DECIDED, KINDS, Kind, Rejudged, compared, judged
from llmguard.operations.backtest.summary import Rate, Summary, Tally

__all__ = ["DECIDED", "KINDS", "Kind", "Rate", "Rejudged", "Summary", "Tally", "compared", "judged"]
