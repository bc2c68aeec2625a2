"""A log replayed by today's guard: what would it do with yesterday's replies? And with new ones?

Reading order: `replay_result` (one outcome), `summary` (many), `backtesting` (the operation), `progress` (it is interrupted
and goes on), `worker_pool` and `worker` (other processes); `comparison` and `comparing` (the same inputs, new replies by a
real model); `gates` (what fails a build); `schema_impact` (an edit of a schema).
"""

from llmguard.operations.backtest.backtesting import BacktestReport, ProgressOptions, WorkerOptions, backtest
from llmguard.operations.backtest.comparing import ComparisonReport, CostEstimate, compare
from llmguard.operations.backtest.gates import check_gates
from llmguard.operations.backtest.replay_result import ReplayResult
from llmguard.operations.backtest.summary import ReplaySummary

__all__ = [
    "BacktestReport",
    "ComparisonReport",
    "CostEstimate",
    "ProgressOptions",
    "ReplayResult",
    "ReplaySummary",
    "WorkerOptions",
    "backtest",
    "check_gates",
    "compare",
]
