"""Rungs without a model: each describes itself, answers, and is bound when its guard is built."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from llmguard import Guard, UsageError, constant, escalate, last_good, salvage
from llmguard.core.canonical import Json
from llmguard.core.effects import Crashed, Invoke
from llmguard.engine.ladder import FallbackAnswer, FallbackRequest, FallbackRung, FallbackValue, RungBinding, RungNote
from llmguard.testing import ScriptedModel

TEAMS = {"enum": ["billing", "shipping", "other"]}


@dataclass(frozen=True)
class NearestTeam(FallbackRung):
    """The team whose name shares most letters with the last reply that could be parsed."""

    at_least: int = 1
    label: str = "nearest"

    def describe(self) -> Json:
        return {"at_least": self.at_least}

    def answer(self, request: FallbackRequest) -> FallbackAnswer:
        if not request.candidate:
            return Crashed("crashed", "no reply to compare with")
        letters = set(str(request.candidate[0]))
        best = max(TEAMS["enum"], key=lambda team: len(letters & set(team)))
        return FallbackValue(best) if len(letters & set(best)) >= self.at_least else Crashed("crashed", "none is near")


@dataclass(frozen=True)
class LookedUp(FallbackRung):
    """A rung that runs a function."""

    label: str = "looked_up"

    def describe(self) -> Json:
        return {}

    def answer(self, request: FallbackRequest) -> FallbackAnswer:
        return Invoke(request.address, "look_up", lambda inputs: inputs["known"], (request.inputs,))


def triage(*fallback: object, replies: tuple[str, ...] = ('"shippping"',)) -> Guard[Json]:
    return Guard(
        "triage",
        prompt="{{ known }}",
        schema=TEAMS,
        models=[ScriptedModel(list(replies))],
        reasks=0,
        fallback=list(fallback),  # type: ignore[arg-type]
        log=None,
    )


def test_a_rung_of_ones_own_answers_like_any_other() -> None:
    """It sees the last value that could be parsed; its value is validated, and the outcome names it."""
    outcome = triage(NearestTeam()).run(known="x")
    assert (outcome.status, outcome.value, outcome.source) == ("fallback", "shipping", "nearest")


def test_a_rung_of_ones_own_that_has_no_value_goes_on_to_the_next() -> None:
    """Why it had none is among the violations where nothing answers."""
    outcome = triage(NearestTeam(at_least=99), replies=("no json",)).run(known="x")
    assert outcome.status == "rejected"
    assert "nearest: no reply to compare with" in [violation.message for violation in outcome.violations]
    assert triage(NearestTeam(at_least=99), constant("other")).run(known="x").source == "constant"


def test_a_rung_of_ones_own_may_run_a_function() -> None:
    """It is performed by the driver, and recorded as a step."""
    guard = triage(LookedUp())
    outcome = guard.run(known="billing")
    assert (outcome.value, outcome.source) == ("billing", "looked_up")
    record = guard.log.get(outcome.id)
    assert record is not None
    assert [step.address for step in record.steps] == ["r0/s0/a1/t1", "r1"]


def test_two_kinds_of_rung_are_two_guards() -> None:
    """Also where they describe themselves in the same words: the class and its source are in the fingerprint."""

    @dataclass(frozen=True)
    class Imposter(NearestTeam):
        def describe(self) -> Json:
            return {"salvage": True}

    prints = {triage(rung).fingerprint for rung in (salvage(), Imposter(), NearestTeam(), NearestTeam(at_least=2))}
    assert len(prints) == 4


class NoRung:
    label = "none"

    def describe(self) -> Json:
        return {}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (NoRung(), "has a NoRung, which is no FallbackRung. Derive it from"),
        (NearestTeam, r"has the class NearestTeam. Write an instance: NearestTeam\(\)"),
        ("other", r"A fixed value is constant\('other'\)"),
        (None, r"A fixed value is constant\(None\)"),
    ],
)
def test_an_unknown_kind_of_rung_is_refused_when_the_guard_is_built(wrong: object, message: str) -> None:
    """With what to write instead; it is never taken for another kind."""
    with pytest.raises(UsageError, match=message):
        triage(wrong)


def test_a_rung_that_lacks_a_method_cannot_be_made() -> None:
    """Python says which method is missing."""

    class Half(FallbackRung):
        label = "half"

    with pytest.raises(TypeError, match="answer"):
        Half()  # type: ignore[abstract]


def test_rungs_say_what_their_user_may_regret() -> None:
    """For `llmguard doctor`: a ladder that ends with a constant always answers, others do not."""

    def ending(rung: FallbackRung) -> str:
        note = rung.ending_note(False)
        return f"{note.level}: {note.text}" if note else ""

    assert ending(constant(1)) == "ok: ends with a constant: guard(...) never raises"
    assert constant(1).ending_note(True) is None  # a check may refuse it
    assert ending(escalate()).startswith("ok: ends with a person")
    assert ending(last_good(60)).startswith("note: ends with last_good")
    assert (ending(salvage()), ending(NearestTeam())) == ("", "")
    guard = triage(lambda inputs: "other")
    assert [note.level for rung in guard.policy.ladder for note in rung.notes()] == ["note"]
    assert NearestTeam().notes() == ()


def test_binding_is_where_a_rung_may_refuse() -> None:
    """It sees the guard's schema, and the error is the guard's."""

    class Picky(NearestTeam):
        def bind(self, binding: RungBinding) -> FallbackRung:
            raise UsageError(f"{binding.guard}: no")

    with pytest.raises(UsageError, match="triage: no"):
        triage(Picky())
    assert RungNote("ok", "x") == RungNote("ok", "x")
