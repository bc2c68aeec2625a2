"""Guards of every kind, whose fingerprints and descriptions are frozen. The place and the source of these functions count.

A function stands in a fingerprint by its module's name and the digest of its source: whoever moves this file, or changes a
word of a function in it, changes the golden data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, Field
from tenacity import (
    stop_after_attempt,
    stop_after_delay,
    stop_never,
    wait_chain,
    wait_exponential,
    wait_fixed,
    wait_random_exponential,
)

from llmguard import (
    Fixed,
    Guard,
    Message,
    OpenAIModel,
    OutcomeLog,
    Predictive,
    Retry,
    Sampling,
    SelfConsistency,
    Violation,
    agrees_with,
    certified,
    check,
    constant,
    escalate,
    fallback,
    guarded,
    judge,
    last_good,
    rung,
    salvage,
)

# No public name of `llmguard` makes these; the documents import them from here (docs/voting.md).
from llmguard.checks.grounding import dates_occur, names_occur, numbers_occur, quoted, sums, within
from llmguard.testing import ScriptedModel

HERE = Path(__file__).parent
INVOICE = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "minLength": 1},
        "total": {"type": "number", "minimum": 0, "x-unit": "EUR"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"amount": {"type": "number"}}}},
        "note": {"type": ["string", "null"]},
        "extra": {"type": "string"},
    },
    "required": ["number", "total"],
    "additionalProperties": False,
}

# ------------------------------------------------------------------------------------------------- schemas and prompts


class Line(BaseModel):
    """One line of an order."""

    article: str = Field(description="as in the catalogue")
    count: int = Field(ge=1, le=99)


class Order(BaseModel):
    """An order as it came in."""

    customer: str
    lines: list[Line]
    express: bool = False


@dataclass
class Point:
    """A place on the map."""

    x: float
    y: float
    label: str | None = None


class Ticket(TypedDict):
    """Where a ticket goes."""

    team: Literal["billing", "shipping"]
    urgent: bool


def in_two_messages(inputs: Mapping[str, Any]) -> list[Message]:
    """A prompt that is a function."""
    return [Message("system", "You read orders."), Message("user", str(inputs["text"]))]


def in_a_language(language: str, inputs: Mapping[str, Any]) -> str:
    """A prompt by partial()."""
    return f"Answer in {language}: {inputs['text']}"


# ------------------------------------------------------------------------------------------------- checks, rules, strategies


@check
def total_adds_up(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    """A pure check."""
    parts = [each["amount"] for each in value.get("lines", [])]
    return "the lines do not add up to the total" if parts and sum(parts) != value["total"] else None


@check(name="known-number", effect=True, timeout_s=2.5)
def number_is_known(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> Violation | None:
    """An effect check with a timeout."""
    return Violation("/number", "", "is not in the books", "A-…", value["number"]) if value["number"] == "X" else None


@check(effect=True)
async def asks_the_world(value: Any, inputs: Mapping[str, Any]) -> None:
    """An effect check on the loop."""


@check(severity="flag", version="2024-05")
def is_unusual(value: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    """A check that flags, and whose version stands for its source."""
    return "is above a thousand" if value["total"] > 1000 else None


def plain_check(value: Any, inputs: Mapping[str, Any]) -> None:
    """A plain function as a check."""


def by_rule(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A function rung."""
    return {"number": "A-1", "total": 0}


def slow_rule(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A function rung with a timeout."""
    return {"number": "A-2", "total": 1}


def wait_a_little(state: Any) -> float:
    """A strategy of one's own."""
    return 0.25


def what_is_judged(value: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a judge is asked."""
    return {"said": str(value)}


def the_verdict(value: Any) -> str:
    """How a judge's answer is read."""
    return "right" if value == 1 else "wrong"


def share_of_digits(value: Any, inputs: Any) -> float:
    """A score of one's own."""
    return sum(each.isdigit() for each in str(value)) / max(1, len(str(value)))


def a_model(*said: str, name: str = "scripted") -> ScriptedModel:
    return ScriptedModel(said, name=name)


# ------------------------------------------------------------------------------------------------- the guards


def count_errors(log_text: str, feedback: str | None = None) -> str:
    """A function with a guard around it."""
    return "3"


async def summary(text: str) -> str:
    """An async function with a guard around it."""
    return '"short"'


def all_guards(log: OutcomeLog) -> list[Guard[Any]]:
    """Each of them, built anew over a log."""
    polite = Guard("polite", prompt="Polite? {{ value }}", schema=bool, models=[a_model(name="j")], log=log, audit=0)
    yes = Guard("yes", prompt="Right? {{ said }}", schema=int, models=[a_model(name="j")], log=log, audit=0)
    real = {"api_key": "not-a-key"}
    return [
        guarded(schema=int, reasks=1, fallback=[by_rule], log=log)(count_errors).guard,
        guarded(schema={"type": "string"}, name="w.async", timeout_s=4.0, log=log, fallback=[escalate()])(
            summary
        ).guard,
        polite,
        yes,
        Guard("plain", prompt="Which? {{ text }}", schema={"enum": ["a", "b"]}, models=[a_model()], log=log),
        Guard(
            "files",
            prompt=HERE / "order.prompty",
            schema=HERE / "order.json",
            models=[a_model()],
            fallback=[escalate()],
            log=log,
            audit=0.5,
        ),
        Guard("function", prompt=in_two_messages, schema=Order, models=[a_model()], fallback=[salvage()], log=log),
        Guard("partial", prompt=partial(in_a_language, "French"), schema=Point, models=[a_model()], log=log),
        Guard("typed", prompt="{{ text }}", schema=Ticket, models=[a_model()], log=log, reasks=0),
        Guard("number", prompt="{{ text }}", schema=float, models=[a_model()], log=log, deadline_s=None),
        Guard("numbers", prompt="{{ text }}", schema=list[int], models=[a_model()], log=log, deadline_s=7.5),
        Guard(
            "checked",
            prompt="{{ text }}",
            schema=INVOICE,
            models=[a_model()],
            checks=[total_adds_up, number_is_known, asks_the_world, is_unusual, plain_check],
            fallback=[by_rule, escalate()],
            log=log,
        ),
        Guard(
            "grounded",
            prompt="{{ text }}",
            schema=INVOICE,
            models=[a_model()],
            checks=[
                quoted("/note", source="text"),
                numbers_occur("/total", severity="flag"),
                dates_occur("/note"),
                names_occur("/number"),
                sums("/lines/*/amount", "/total", abs_tol=0.01),
                within("/total", 0, 10_000),
            ],
            log=log,
        ),
        Guard(
            "judged",
            prompt="{{ text }}",
            schema=str,
            models=[a_model()],
            checks=[
                judge(polite),
                judge(yes, name="yes-no", inputs=what_is_judged, verdict=the_verdict, severity="flag"),
                judge(polite, name="fixed", version="3"),
            ],
            log=log,
        ),
        Guard(
            "ladder",
            prompt="{{ text }}",
            schema=INVOICE,
            models=[
                a_model(name="small"),
                rung(
                    a_model(name="large"),
                    reasks=0,
                    retry=Retry(stop=stop_after_attempt(5), wait=wait_fixed(2)),
                    sampling=Sampling(temperature=0.3, max_tokens=99),
                    prompt="Take care. {{ text }}",
                ),
            ],
            sampling=Sampling(temperature=0.7, top_p=0.9, seed=11, stop=("END",)),
            retry=Retry(stop=stop_after_attempt(2), wait=wait_exponential(multiplier=0.5, max=3)),
            fallback=[
                last_good(3600),
                salvage(),
                fallback(slow_rule, name="slow", timeout_s=1.5),
                constant({"number": "-", "total": 0}),
            ],
            log=log,
        ),
        Guard(
            "strategies",
            prompt="{{ text }}",
            schema=int,
            models=[
                rung(
                    a_model(name="either"),
                    retry=Retry(
                        stop=stop_after_delay(9) | stop_after_attempt(4), wait=wait_fixed(1) + wait_a_little_too()
                    ),
                ),
                rung(
                    a_model(name="chain"), retry=Retry(stop=stop_never, wait=wait_chain(wait_fixed(1), wait_fixed(3)))
                ),
                rung(a_model(name="own"), retry=Retry(stop=stop_after_attempt(1), wait=wait_a_little)),
            ],
            log=log,
        ),
        Guard(
            "votes",
            prompt="{{ text }}",
            schema=INVOICE,
            models=[a_model(name="m"), rung(a_model(name="single"), consistency=None)],
            sampling=Sampling(seed=5),
            consistency=SelfConsistency(
                n_max=7,
                plan=(4, 2, 1),
                fields={"/total": "money", "/number": "exact"},
                variants=[Sampling(temperature=1.0), rung(prompt="Again: {{ text }}"), a_model(name="other")],
                on_invalid="reask",
            ),
            log=log,
        ),
        Guard(
            "settled",
            prompt="{{ text }}",
            schema=INVOICE,
            models=[
                a_model(name="fixed"),
                rung(a_model(name="predictive"), consistency=SelfConsistency(n_max=9, stop=Predictive(0.05))),
            ],
            consistency=SelfConsistency(
                n_max=5,
                stop=Fixed(5),
                fields={"/total": "number", "/lines": "list", "/note": "text"},
                vote_together=[("/number", "/extra")],
                min_agreement=0.8,
            ),
            log=log,
        ),
        Guard(
            "certified-plans",
            prompt="{{ text }}",
            schema=float,
            models=[a_model()],
            consistency=SelfConsistency(n_max=7),
            accept=certified(0.02, 0.1, plans=[(7, 1, 0), (5, 1, 0), (3, 2, 1)], max_age_s=86_400),
            audit=0.25,
            fallback=[escalate()],
            log=log,
        ),
        Guard(
            "certified-usual",
            prompt="{{ text }}",
            schema=float,
            models=[a_model()],
            consistency=SelfConsistency(n_max=5),
            accept=certified(0.05),
            fallback=[escalate()],
            log=log,
        ),
        Guard(
            "certified-thresholds",
            prompt="{{ text }}",
            schema=INVOICE,
            models=[a_model()],
            accept=certified(0.1, thresholds=(1.0, 0.5), score=agrees_with(by_rule, fields={"/total": "money"})),
            fallback=[escalate()],
            log=log,
        ),
        Guard(
            "certified-score",
            prompt="{{ text }}",
            schema=str,
            models=[a_model()],
            accept=certified(0.1, score=share_of_digits),
            fallback=[escalate()],
            log=log,
        ),
        Guard(
            "certified-confidence",
            prompt="{{ text }}",
            schema=str,
            models=[OpenAIModel("gpt-5", logprobs=True, **real)],
            accept=certified(0.1, score="confidence"),
            fallback=[escalate()],
            log=log,
        ),
        Guard(
            "reading",
            prompt="{{ text }}",
            schema=INVOICE,
            models=[a_model()],
            repairs=["lossless", "-number_with_marks", "ellipsis"],
            field_repairs={"/total": (), "/note": ["lossless", "syntactic"]},
            allow_truncated=True,
            max_depth=12,
            budget_requests=6,
            budget_tokens=9_000,
            budget_usd=0.25,
            log=log,
        ),
        Guard(
            "openai",
            prompt="{{ text }}",
            schema=INVOICE,
            models=[
                OpenAIModel("gpt-5-mini", **real),
                OpenAIModel("gpt-5", api="responses", timeout_s=20, temperature=0.2, seed=3, stop=("x",), **real),
                OpenAIModel("local", base_url="http://localhost:8000/v1", output="tool", max_parallel=2),
                OpenAIModel("far", base_url="https://models.example/v1", headers={"x-team": "a"}, **real),
                OpenAIModel("own", output="prompted", extra_body={"reasoning_effort": "low"}, max_tokens=50, **real),
                OpenAIModel("quiet", output="json_object", logprobs=True, top_p=0.5, max_reply_bytes=4096, **real),
            ],
            log=log,
        ),
    ]


def wait_a_little_too() -> Any:
    """tenacity's strategies are combined by a sum."""
    return wait_random_exponential(multiplier=0.1, max=1)
