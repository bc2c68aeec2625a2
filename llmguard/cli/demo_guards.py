"""The three guards of the demo: a very small model, checks of its answers, and fallbacks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from llmguard.core.canonical import Json
from llmguard.core.messages import Sampling
from llmguard.core.model import Model
from llmguard.core.outcome import Violation
from llmguard.engine.check import check
from llmguard.engine.ladder import constant, escalate
from llmguard.guard.guard import Guard
from llmguard.guard.options import Options
from llmguard.guard.rungs import rung
from llmguard.log import OutcomeStore

DATA = Path(__file__).parent / "demo_data"
INPUT_NAMES = {"triage": "ticket", "invoice": "document", "review": "review"}
SAMPLING = Sampling(temperature=0.0, seed=1, max_tokens=48)

_WORDS = {
    "billing": "charged|refund|bill|invoice|payments?|pay|subscription",
    "bug": "crash(?:es)?|error|down|bug",
    "delivery": "parcel|courier|tracking|delivered|box",
    "account": "password|logged in|account|log ?in",
}
_PRESSING = re.compile(r"\b(?:urgent|now|down|immediately)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d,]{0,15}(?:\.\d{1,2})?")
_TOTAL = re.compile(r"\b(?:total due|amount payable|total|over):? (\d[\d,]{0,15}(?:\.\d{1,2})?)\b", re.IGNORECASE)
_INVOICE = re.compile(r"\b(?:invoice|bill)(?: no\.| number)? ([A-Z0-9-]{0,19}\d)\b", re.IGNORECASE)
_ENGLISH = re.compile(r"\b(?:the|a|an|is|it|this|my|has|of)\b", re.IGNORECASE)
_COMPLAINT = re.compile(r"\b(?:broken?|broke|dies|leaks|waste|avoid|never)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """One model in two ways: the schema is part of the prompt, or the server enforces it during generation."""

    prompted: Model
    enforced: Model


# ------------------------------------------------------------------------------------------------- triage


@check
def the_ticket_says_so(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> Sequence[Violation]:
    """A category needs a word of it in the ticket, where the ticket has words of another; urgency is what it says it is."""
    found = []
    spoken = spoken_of(inputs["ticket"])
    if spoken and value["category"] not in spoken:
        said = f"the ticket says nothing of {value['category']}"
        found.append(Violation("/category", "", said, expected=spoken, actual=value["category"]))
    pressing = _PRESSING.search(inputs["ticket"])
    if value["urgent"] != bool(pressing):
        said = f"the ticket says {pressing[0]!r}" if pressing else "nothing in the ticket is urgent"
        found.append(Violation("/urgent", "", said, expected=bool(pressing), actual=value["urgent"]))
    return found


def spoken_of(ticket: str) -> list[str]:
    """The categories whose words stand in the ticket, those with most words first."""
    hits = {name: len(re.findall(rf"\b(?:{words})\b", ticket, re.IGNORECASE)) for name, words in _WORDS.items()}
    return sorted((name for name, count in hits.items() if count), key=lambda name: -hits[name])


def keyword_rules(inputs: Mapping[str, Json]) -> Json:
    """What sorted tickets before there were models."""
    spoken = spoken_of(inputs["ticket"])
    if not spoken:
        raise LookupError("no word of the ticket is in the rules")
    return {"category": spoken[0], "urgent": bool(_PRESSING.search(inputs["ticket"]))}


# ------------------------------------------------------------------------------------------------- invoice


@check
def stands_in_the_document(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> Sequence[Violation]:
    """Number and total are copied from the document: what is not in it was made up."""
    document, number = inputs["document"], value["number"]
    found = []
    if not re.search(rf"(?<![\w-]){re.escape(number)}(?![\w-])", document):
        found.append(Violation("/number", "", "is not in the document", actual=number))
    if value["total"] not in _amounts(document.replace(number, " ")):
        found.append(Violation("/total", "", "is not an amount in the document", actual=value["total"]))
    return found


@check
def is_called_the_total(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> Violation | None:
    """Where one amount is called the total, no other one is it: not what was paid already, nor what is open."""
    totals = {float(each.replace(",", "")) for each in _TOTAL.findall(inputs["document"])}
    if len(totals) != 1 or value["total"] in totals:
        return None
    return Violation("/total", "", "is not what the document calls its total", totals.pop(), value["total"])


def _amounts(text: str) -> set[float]:
    return {float(each.replace(",", "")) for each in _NUMBER.findall(text)}


def labelled_fields(inputs: Mapping[str, Json]) -> Json:
    """Number and total where the document labels each of them exactly once."""
    numbers, totals = _INVOICE.findall(inputs["document"]), _TOTAL.findall(inputs["document"])
    if len(numbers) != 1 or len(totals) != 1:
        raise LookupError(f"found {len(numbers)} labelled numbers and {len(totals)} labelled totals, expected one each")
    return {"number": numbers[0], "total": float(totals[0].replace(",", ""))}


# ------------------------------------------------------------------------------------------------- review


@check
def in_english(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> str | None:
    """The model reads English only; what it says of another language is a guess."""
    if value["sentiment"] != "unknown" and not _ENGLISH.search(inputs["review"]):
        return "the review is not in English, which is all this model reads"
    return None


@check(severity="flag")
def no_complaint_in_praise(value: Mapping[str, Json], inputs: Mapping[str, Json]) -> Violation | None:
    """A positive judgement of a text with a complaint in it may be irony: accepted, and marked for a person's look."""
    if value["sentiment"] == "positive" and (found := _COMPLAINT.search(inputs["review"])):
        return Violation("/sentiment", "", f"positive, and yet the review says {found[0]!r}", actual="positive")
    return None


# ------------------------------------------------------------------------------------------------- the guards


def demo_guards(models: Models, log: OutcomeStore) -> dict[str, Guard[Json]]:
    """Tickets and reviews: the server enforces the schema. Invoices: the schema is first part of the prompt only. After
    that a rule, a constant or a person answers."""

    def built(name: str, **options: Unpack[Options]) -> Guard[Json]:
        prompt, schema = DATA / "prompts" / f"{name}.prompty", DATA / "schemas" / f"{name}.json"
        options["sampling"], options["log"] = SAMPLING, log
        return Guard(name, prompt=prompt, schema=schema, **options)

    return {
        "triage": built(
            "triage",
            models=[rung(models.enforced, reasks=1)],
            checks=[the_ticket_says_so],
            fallback=[keyword_rules, constant({"category": "other", "urgent": False})],
        ),
        "invoice": built(
            "invoice",
            models=[rung(models.prompted, reasks=1), rung(models.enforced, reasks=0)],
            checks=[stands_in_the_document, is_called_the_total],
            fallback=[labelled_fields, escalate()],
        ),
        "review": built(
            "review",
            models=[rung(models.enforced, reasks=0)],
            checks=[in_english, no_complaint_in_praise],
            fallback=[constant({"sentiment": "unknown"})],
        ),
    }


def way_of_asking(guard: str, address: str) -> str:
    """How the model was asked at an address: `r0/s0/a2/t1` is a re-ask."""
    rung_part, _, attempt, *_ = address.split("/")
    if attempt != "a1":
        return "re-asked"
    return "schema in prompt" if guard == "invoice" and rung_part == "r0" else "schema enforced"
