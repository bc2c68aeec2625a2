"""Outcomes, records and reviews as JSON: what every command prints with `--json`. Each key is always present."""

from __future__ import annotations

from datetime import datetime

from llmguard.core.canonical import Json
from llmguard.core.messages import Usage
from llmguard.core.outcome import Alternative, Attempt, FieldSupport, Outcome, Repair, Sample, Violation, Vote
from llmguard.core.record import Record, answer_to_json
from llmguard.guard.guard import total_cost
from llmguard.log import Review
from llmguard.log.rows import RUNNING


def outcome_json(outcome: Outcome[Json]) -> dict[str, Json]:
    """An outcome as `llmguard run --json` prints it.

    >>> from llmguard import Guard
    >>> from llmguard.testing import ScriptedModel
    >>> guard = Guard("size", prompt="?", schema={"enum": ["S", "L"]}, models=[ScriptedModel(['"L"'])], log=None)
    >>> printed = outcome_json(guard.run())
    >>> printed["status"], printed["value"], printed["attempts"][0]["text"]
    ('accepted', 'L', '"L"')
    """
    return {
        "id": outcome.id,
        "guard": outcome.guard,
        "status": outcome.status,
        "source": outcome.source,
        "value": outcome.json,
        "violations": [violation_json(each) for each in outcome.violations],
        "flags": [violation_json(each) for each in outcome.flags],
        "repairs": [repair_json(each) for each in outcome.repairs],
        "attempts": [attempt_json(each) for each in outcome.attempts],
        **_support_json(outcome),
        "skipped_checks": list(outcome.skipped_checks),
        "usage": usage_json(outcome.usage),
        "cost_usd": total_cost(outcome.attempts),
        "review_probability": outcome.review_probability,
        "review_reason": outcome.review_reason,
        "fingerprint": outcome.fingerprint,
    }


def attempt_json(attempt: Attempt) -> dict[str, Json]:
    """One request and its reply."""
    return {
        "address": attempt.address,
        "rung": attempt.rung,
        "model": attempt.model,
        "text": attempt.text,
        "failure": attempt.failure,
        "message": attempt.message,
        "violations": [violation_json(each) for each in attempt.violations],
        "repairs": [repair_json(each) for each in attempt.repairs],
        "usage": usage_json(attempt.usage),
        "cost_usd": attempt.cost_usd,
        "latency_s": attempt.latency_s,
    }


def violation_json(violation: Violation) -> dict[str, Json]:
    """What is wrong with a value, and where."""
    return {name: getattr(violation, name) for name in ("path", "rule", "message", "expected", "actual", "severity")}


def repair_json(repair: Repair) -> dict[str, Json]:
    """What was changed between a reply's text and its value."""
    return {name: getattr(repair, name) for name in ("path", "before", "after", "kind", "rule")}


def usage_json(usage: Usage) -> dict[str, Json]:
    """Tokens; `estimated` where the provider did not count them."""
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "estimated": usage.estimated}


# ------------------------------------------------------------------------------------------------- votes


def _support_json(outcome: Outcome[Json]) -> dict[str, Json]:
    """The part of an outcome that is about how sure the model was."""
    judgements = [{"check": each.check, "verdict": each.verdict, "said": each.said} for each in outcome.judgements]
    return {
        "agreement": outcome.agreement,
        "alternatives": [_alternative_json(each) for each in outcome.alternatives],
        "fields": {path: _field_json(support) for path, support in outcome.fields.items()},
        "vote": _vote_json(outcome.vote) if outcome.vote else None,
        "judgements": judgements,
        "score": outcome.score,
        "proposed": list(outcome.proposed),
        "certificate": outcome.certificate,
    }


def _alternative_json(alternative: Alternative) -> Json:
    return {"value": alternative.value, "votes": alternative.votes, "present": alternative.present}


def _field_json(support: FieldSupport) -> Json:
    names = ("value", "agreement", "votes", "drawn", "ambiguous", "confidence")
    alternatives = [_alternative_json(each) for each in support.alternatives]
    return {**{name: getattr(support, name) for name in names}, "alternatives": alternatives}


VOTE_KEYS = "rung accepted reason used drawn agreement dissent source refused ambiguous rule".split()


def _vote_json(vote: Vote) -> Json:
    scalars = {key: vote.sample_count if key == "drawn" else getattr(vote, key) for key in VOTE_KEYS}
    samples = [_sample_json(each) for each in vote.samples]
    return {**scalars, "candidate": list(vote.candidate), "samples": samples}


def _sample_json(sample: Sample) -> Json:
    return {name: getattr(sample, name) for name in ("label", "valid", "value", "failure", "latency_s")}


# ------------------------------------------------------------------------------------------------- records


def record_json(record: Record, finished_at: float | None) -> dict[str, Json]:
    """A whole call: its inputs, its outcome, and the answer to each of its requests and functions."""
    opening = record.opening
    return {
        "id": opening.id,
        "guard": opening.guard,
        "started_at": iso_time(opening.started_at),
        "finished_at": iso_time(finished_at) if finished_at else None,
        "inputs": opening.inputs,
        "meta": opening.meta,
        "status": record.outcome.status if record.outcome else RUNNING,
        "outcome": outcome_json(record.outcome) if record.outcome else None,
        "steps": [
            {"address": step.address, "waited_s": step.waited_s, **answer_to_json(step.answer)} for step in record.steps
        ],
        "fingerprint": opening.fingerprint,
    }


def review_json(review: Review) -> dict[str, Json]:
    """A review. `correction` is only present where there is one, because null is a correction too."""
    keys: dict[str, Json] = {
        "id": review.call_id,
        "verdict": review.verdict,
        "fields": dict(review.fields),
        "reviewer": review.reviewer,
        "comment": review.comment,
        "blind": review.blind,
        "at": iso_time(review.at),
        "review": review.id,
    }
    return keys | ({"correction": review.correction[0]} if review.correction else {})


def iso_time(seconds: float) -> str:
    """Local time with its offset from UTC, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
