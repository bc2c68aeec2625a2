"""Whether a replay, or a comparison, should fail a build: the gates of `--fail-on`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from llmguard.core.errors import UsageError
from llmguard.operations.backtest.summary import ReplaySummary

Gate: TypeAlias = Literal["newly-failing", "changed", "undetermined", "assumed-failing", "worse"]
GATES: tuple[Gate, ...] = get_args(Gate)
NEED_EVIDENCE: frozenset[Gate] = frozenset(("newly-failing", "changed", "worse"))
SIGNIFICANT = 0.05
"""Level of the paired test, two-sided: the usual one."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gates that failed. `without_evidence`: those that failed because there were calls, and no evidence to look at."""

    failed: tuple[Gate, ...] = ()
    without_evidence: tuple[Gate, ...] = ()


def gates_of(names: Sequence[str], known: Sequence[Gate] = GATES) -> tuple[Gate, ...]:
    """The gates with these names, of those that are `known` to the caller."""
    for each in names:
        if each not in known:
            raise UsageError(f"--fail-on {each!r} is unknown. It takes: {', '.join(known)}.")
    return tuple(cast("Gate", each) for each in names)


def check_gates(summary: ReplaySummary, gates: Sequence[Gate]) -> GateResult:
    """Which gates fail. One that needs evidence fails, too, where calls were looked at and none of them is evidence.

    >>> from llmguard.operations.backtest.replay_result import ReplayResult
    >>> from llmguard.operations.backtest.summary import SummaryBuilder
    >>> summary = SummaryBuilder()
    >>> summary.add(ReplayResult(id="1", started_at=0.0, kind="newly_failing", before="accepted", after="fallback"))
    >>> check_gates(summary.summary(), ["newly-failing", "changed"]).failed
    ('newly-failing',)
    """
    kinds = summary.evidence.kinds
    counts: dict[Gate, int] = {
        "newly-failing": kinds["newly_failing"],
        "changed": kinds["changed"],
        "undetermined": summary.undetermined,
        "assumed-failing": summary.substituted.kinds["newly_failing"],
        "worse": is_worse(summary),
    }
    is_blind = summary.total > 0 and not summary.evidence.total
    blind = tuple(gate for gate in gates if is_blind and gate in NEED_EVIDENCE)
    return GateResult(tuple(gate for gate in gates if counts[gate] or gate in blind), blind)


def is_worse(summary: ReplaySummary) -> bool:
    """Whether fewer pass, and not by chance (exact paired test, two-sided, 5 %)."""
    kinds = summary.evidence.kinds
    return kinds["newly_failing"] > kinds["newly_passing"] and summary.evidence.p_value < SIGNIFICANT
