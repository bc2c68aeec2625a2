"""Calls that end in each of the six ways, over models whose replies are written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenacity import stop_after_attempt, wait_none

from llmguard import (
    Fixed,
    Guard,
    ModelFailure,
    ModelReply,
    Outcome,
    OutcomeLog,
    Retry,
    Sampling,
    SelfConsistency,
    Usage,
    Violation,
    certified,
    check,
    constant,
    escalate,
    fallback,
    judge,
    last_good,
    rung,
    salvage,
)
from llmguard.checks.grounding import dates_occur, names_occur, numbers_occur, quoted, sums, within  # see guards.py
from llmguard.testing import ScriptedModel

INVOICE = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "minLength": 1},
        "total": {"type": "number", "minimum": 0, "description": "in EUR"},
        "paid": {"type": "boolean"},
        "due": {"type": ["string", "null"], "format": "date"},
        "lines": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
    },
    "required": ["number", "total"],
    "additionalProperties": False,
}
WIDE = {
    "type": "object",
    "properties": {
        "const": {"const": 1},
        "enum": {"enum": ["red", "blue", None]},
        "type": {"type": "integer"},
        "types": {"type": ["string", "null"]},
        "minimum": {"type": "number", "minimum": 3},
        "above": {"type": "number", "exclusiveMinimum": 3},
        "maximum": {"type": "number", "maximum": 3},
        "below": {"type": "number", "exclusiveMaximum": 3},
        "multiple": {"type": "number", "multipleOf": 0.5},
        "short": {"type": "string", "minLength": 3},
        "long": {"type": "string", "maxLength": 3},
        "pattern": {"type": "string", "pattern": "^[A-Z]+$"},
        "date": {"type": "string", "format": "date"},
        "email": {"type": "string", "format": "email"},
        "few": {"type": "array", "minItems": 2},
        "many": {"type": "array", "maxItems": 1},
        "unique": {"type": "array", "uniqueItems": True},
        "contains": {"type": "array", "contains": {"const": 7}},
        "tuple": {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
        "object": {"type": "object", "required": ["a"], "minProperties": 2},
        "names": {"type": "object", "propertyNames": {"pattern": "^x"}},
        "depends": {"type": "object", "dependentRequired": {"a": ["b"]}},
        "any": {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 9}]},
        "one": {"oneOf": [{"type": "integer"}, {"minimum": 2}]},
        "all": {"allOf": [{"minimum": 2}, {"maximum": 4}]},
        "not": {"not": {"type": "string"}},
        "if": {"if": {"type": "integer"}, "then": {"minimum": 10}, "else": {"type": "null"}},
    },
    "required": ["missing"],
    "additionalProperties": False,
}
WRONG = [
    '{"const": 2, "enum": "rde", "type": 1.5, "types": 5, "minimum": 2, "above": 3, "maximum": 4, "below": 3, "multiple": 0.7,'
    ' "short": "ab", "long": "abcd", "pattern": "abc", "date": "2024-02-30", "email": "nobody"}',
    '{"few": [1], "many": [1, 2], "unique": [1, 1.0], "contains": [1, 2], "tuple": [1, 2], "object": {"b": 1},'
    ' "names": {"a": 1}, "depends": {"a": 1}, "any": "short", "one": 3, "all": 5, "not": "text", "if": 5, "extra": 1}',
    "{}",
]
KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c"
AT_ONCE = Retry(stop=stop_after_attempt(3), wait=wait_none())


@check
def no_test_invoice(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> Violation | None:
    return (
        Violation("/number", "", "is a test invoice", "INV-…", value["number"]) if value["number"] == "TEST" else None
    )


@check(severity="flag")
def is_large(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    return "is large" if value["total"] > 1000 else None


@check(effect=True)
def is_booked(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    return "is booked already" if value["number"] == "BOOKED" else None


@check(effect=True, timeout_s=20.0)
async def is_known(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> Violation:
    return Violation("/number", "", "is not in the books", [1, 2], value["number"], "flag")


@check(effect=True)
def explodes(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    if value["number"] == "BOOM":
        raise RuntimeError("the books are closed")
    return None


CHECKS = [no_test_invoice, is_large, is_booked, explodes]


def reads_it_itself(inputs: Mapping[str, Any]) -> dict[str, Any]:
    if "rule" not in inputs["text"]:
        raise LookupError("no rule for this text")
    return {"number": "RULE", "total": 1}


class Calls:
    """Makes calls over one log; `asked` has what each of their models was sent, as messages."""

    def __init__(self, log: OutcomeLog) -> None:
        self.log = log
        self.asked: dict[str, list[Any]] = {}

    def guard(self, name: str, models: list[Any], schema: Any = INVOICE, **options: Any) -> Guard[Any]:
        given = {"prompt": "Read the invoice: {{ text }}", "retry": AT_ONCE, "audit": 0.0, "log": self.log, **options}
        return Guard(name, schema=schema, models=models, **given)

    def one(self, name: str, said: list[Any], text: str = "…", meta: Any = None, **options: Any) -> tuple[str, str]:
        """One call of a guard of its own, over one model."""
        model = ScriptedModel(said)
        outcome = self.guard(name, [model], **options).run(text=text, meta=meta)
        return self._told(name, [model], outcome)

    def _told(self, name: str, models: list[ScriptedModel], outcome: Any) -> tuple[str, str]:
        self.asked[name] = [
            {
                "model": each.model,
                "messages": [[message.role, message.content] for message in each.messages],
                "sampling": each.sampling.set_fields(),
                "sample": each.sample,
                "instruction": each.output.instruction if each.output else None,
            }
            for model in models
            for each in model.requests
        ]
        return name, outcome.id

    def all(self) -> Iterator[tuple[str, str]]:
        """Name and id of each."""
        good = '{"number": "A-7", "total": 306}'
        yield self.one("accepted", [good], f"A-7, 306.00, api_key={KEY}", {"user": "u-17", "n": 3}, checks=CHECKS)
        yield self.one("flagged", ['{"number": "A-8", "total": 3060}'], meta={"token": KEY}, checks=CHECKS)
        yield self.one("flagged-beside", [good], checks=[is_known])
        object_ = '{\'number\': \'A-7\', "total": "1,306.50 EUR", "paid": "yes", "due": "2024/05/01",}'
        mended = f"Sure!\n```json\n{object_}\n```"
        yield self.one("repaired", [mended, good])
        ended = ModelReply('{"number": "A-7", "total": 306, "lines": [1, 2', finish_reason="length")
        yield self.one("repaired-cut", [ended], allow_truncated=True, reasks=0)
        wrong = '{"number": "", "total": -3, "sum": 1}'
        asked_again = ["There is nothing to read.", wrong, '{"number": "TEST", "total": 3}', good]
        yield self.one("re-asked", asked_again, reasks=3, checks=CHECKS)
        two = [
            '{"number": "A", "total": 1} or {"number": "B", "total": 2}',
            '{"number": "A", "number": "B", "total": 1}',
            good,
        ]
        yield self.one("ambiguous", two)
        yield self.one(
            "approximate", ['{"number": "A", "total": "about 300"}', '{"number": "A", "total": "3-4"}', good]
        )
        yield self.one("wide", WRONG, schema=WIDE)
        yield self._ladder()
        yield self._vote("vote", ["306", "360", "306.0", "306", "306"], plan=(3, 2, 1), fields={"/total": "money"})
        yield self._vote("medoid", ["1", "2", "no", "4", "5"], stop=Fixed(5), min_agreement=0.8)
        yield self._vote("vote-asked-again", ["no", "306", "306", "306"], plan=(3, 1, 0), on_invalid="reask")
        yield self._vote("audited", ["306", "306", "306", "306", "360"], plan=(3, 1, 0), audit=1.0)
        yield self._judged()
        yield self._grounded()
        yield self.one(
            "constant", ["no", "no"], fallback=[reads_it_itself, constant({"number": "-", "total": 0})], reasks=1
        )
        yield self.one(
            "rule", ["no", "no"], "by rule", fallback=[fallback(reads_it_itself, name="own", timeout_s=20)], reasks=1
        )
        yield self.one("salvaged", ['{"number": "A", "total": 5, "due": "soon"}'], fallback=[salvage()], reasks=0)
        yield from self._last_good()
        unsure = ['{"number": "BOOKED", "total": 5}']
        yield self.one("escalated", unsure, checks=CHECKS, fallback=[escalate()], reasks=0)
        yield self.one(
            "uncertified",
            [good] * 3,
            consistency=SelfConsistency(n_max=3, plan=(3, 1, 0)),
            accept=certified(0.02, plans=[(3, 1, 0)]),
            fallback=[escalate()],
        )
        yield self.one("rejected", ['{"number": "BOOM", "total": 5}'], checks=CHECKS, reasks=0)
        yield self.one("rejected-budget", ["no", "no", good], budget_requests=2)
        refusals = [ModelFailure("refusal", "I will not"), ModelFailure("auth", f"the key {KEY} is wrong", status=401)]
        yield self.one("rejected-refusal", refusals)
        yield self.one("rejected-crash", [])
        cut = ModelReply('{"number": "A-7", "to', finish_reason="length", usage=Usage(input_tokens=9, output_tokens=7))
        yield self.one("rejected-cut", [cut, cut, cut, ""])
        yield self._interrupted()

    def _ladder(self) -> tuple[str, str]:
        told = ModelReply(
            '{"number": "A-7", "total": 306}', usage=Usage(input_tokens=12, output_tokens=8), cost_usd=0.25
        )
        small = ScriptedModel(
            [ModelFailure("rate_limited", "slow down", status=429, retry_after_s=0.0)] * 3, name="small"
        )
        large = ScriptedModel(["no", told], name="large")
        second = rung(large, sampling=Sampling(temperature=0.5), prompt="Look again: {{ text }}", reasks=1)
        outcome = self.guard("ladder", [small, second], sampling=Sampling(seed=3)).run(text="A-7, 306.00")
        return self._told("ladder", [small, large], outcome)

    def _vote(self, name: str, totals: list[str], audit: float = 0.0, **votes: Any) -> tuple[str, str]:
        model = ScriptedModel([each if each == "no" else f'{{"number": "A-7", "total": {each}}}' for each in totals])
        variants = [Sampling(temperature=0.9), rung(prompt="What is due? {{ text }}")]
        consistency = SelfConsistency(n_max=5, variants=variants, **votes)
        guard = self.guard(name, [model], consistency=consistency, audit=audit, sampling=Sampling(seed=40), reasks=1)
        return self._told(name, [model], guard.run(text="A-7, 306.00"))

    def _judged(self) -> tuple[str, str]:
        said = ['{"verdict": "wrong", "reason": "the total is another"}', '{"verdict": "right", "reason": "fits"}']
        judging, model = ScriptedModel(said, name="judge"), ScriptedModel(['{"number": "A", "total": 1}'] * 2)
        schema = {"type": "object", "properties": {"verdict": {"enum": ["right", "wrong", "unsure"]}}}
        asks = self.guard("is-right", [judging], schema, prompt="Is {{ value }} right for {{ text }}?")
        guard = self.guard("judged", [model, rung(model, reasks=0)], checks=[judge(asks)], reasks=0)
        return self._told("judged", [model, judging], guard.run(text="A, 1"))

    def _grounded(self) -> tuple[str, str]:
        checks = [
            quoted("/quote"),
            numbers_occur("/amount"),
            dates_occur("/day"),
            names_occur("/who"),
            sums("/parts/*", "/total"),
            within("/share", 0, 1),
        ]
        bad = (
            '{"quote": "three boxes", "amount": 4, "day": "2024-05-02", "who": "Bob Lee", "parts": [1, 2], "total": 4,'
            ' "share": 2}'
        )
        good = (
            '{"quote": "two  boxes", "amount": 2, "day": "2024-05-01", "who": "Ann Lee", "parts": [1, 2], "total": 3,'
            ' "share": 1}'
        )
        text = "Ann Lee sent two boxes (2) on 1 May 2024."
        return self.one("grounded", [bad, good], text, schema={"type": "object"}, checks=checks)

    def _last_good(self) -> Iterator[tuple[str, str]]:
        model = ScriptedModel(['{"number": "A-7", "total": 306}', "no", "no"])
        guard = self.guard("last-good", [model], fallback=[last_good(3600), escalate()])
        first, second = guard.run(text="A-7"), guard.run(text="A-7")
        yield "last-good-first", first.id
        yield self._told("last-good", [model], second)

    def _interrupted(self) -> tuple[str, str]:
        """Ctrl-C while a model is asked for the second time."""

        def is_left(request: Any) -> str:
            raise KeyboardInterrupt

        model = ScriptedModel(["no", is_left])
        guard = self.guard("interrupted", [model], fallback=[constant({"number": "-", "total": 0})])
        try:
            guard.run(text="A-7, 306.00", meta={"who": "left"})
        except KeyboardInterrupt:
            pass
        (row,) = self.log.find(guard="interrupted")
        self.asked["interrupted"] = []
        return "interrupted", row.id

    def resumed(self, call_id: str) -> Outcome[Any]:
        """The call that was interrupted, by the same guard over a model that answers."""
        model = ScriptedModel(['{"number": "A-7", "total": 306}'])
        return self.guard("interrupted", [model], fallback=[constant({"number": "-", "total": 0})]).resume(call_id)
