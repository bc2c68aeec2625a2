"""Calls under a certificate, with a real log: what is handed out, and what enters the next certificate."""

from __future__ import annotations

from llmguard import Guard, judge
from llmguard.canonical import Json
from llmguard.testing import ScriptedModel


def yes(*replies: str) -> Guard:
    return Guard(
        "yes", prompt="Is {{ value }} right?", schema=bool, models=[ScriptedModel(replies or ["true"])], log=None
    )


# ------------------------------------------------------------------------------------------------- what is certified


def strict(value: Json) -> str:
    return "right" if value is True else "wrong"


def trusting(value: Json) -> str:
    return "right"


def test_another_reading_of_a_judge_is_another_check() -> None:
    """Its question and how its answer is read decide, so a certificate of the one does not hold for the other."""
    checks = [
        judge(yes()),
        judge(yes(), verdict=strict),
        judge(yes(), verdict=trusting),
        judge(yes(), inputs=lambda value, inputs: {"value": 1}),
    ]
    assert len({check.version for check in checks}) == 4
    assert judge(yes(), verdict=strict).version == judge(yes(), verdict=strict).version
