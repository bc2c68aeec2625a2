"""A desk that decides on loans by votes, and accepts by certificate."""

from __future__ import annotations

from typing import Any

from llmguard import Guard, ModelRequest, SelfConsistency, certified, escalate
from llmguard.testing import ScriptedModel


def decide(request: ModelRequest) -> str:
    """Odd numbers are refused. One loan in eight has one dissenter, one in sixteen is wrong."""
    number = int(str(request.messages[-1].content).split()[-1])
    other = (number % 8 == 3 and request.sample == 1) or number % 16 == 6
    return '"refuse"' if (number % 2 == 1) != other else '"approve"'


def desk(**options: Any) -> Guard[Any]:
    return Guard(
        "loan",
        prompt="Decide on loan {{ number }}",
        schema={"enum": ["approve", "refuse"]},
        models=[ScriptedModel.by_request(decide)],
        consistency=SelfConsistency(n_max=5),
        accept=certified(0.2, 0.1),
        fallback=[escalate()],
        audit=1.0,
        **options,
    )
