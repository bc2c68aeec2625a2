"""Everything that decides a call, as frozen data with one fingerprint: what is not here does not change an outcome."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmguard.core.canonical import Json, digest, digest_bytes, encode
from llmguard.core.messages import ResponseFormat
from llmguard.core.redaction import redact
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.engine.budget import Budget
from llmguard.engine.check import Check
from llmguard.engine.ladder import Ladder, ModelRung, describe_rung
from llmguard.parsing.coerce import STANDARD, ReadingRules
from llmguard.prompts import Prompt
from llmguard.prompts.function import describe_function
from llmguard.schema import Schema, describe_schema

PARSER_VERSION = 3
"""Raised when any reply may be read differently than before: as another value, or as a value where it was refused. Fingerprints
and certificates change with it, because what was recorded under the old number may not replay to the same outcome."""

REASKED = frozenset({"unparsable", "ambiguous", "schema", "check", "truncated", "empty", "malformed"})
"""Failures that a model may correct when it is asked again (DECISIONS 9); after any other the next rung is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A guard as the flow sees it."""

    name: str
    prompt: Prompt
    schema: Schema
    output: ResponseFormat
    ladder: Ladder
    checks: tuple[Check, ...] = ()
    reading: ReadingRules = STANDARD
    budget: Budget = field(default_factory=Budget)
    deadline_s: float | None = None
    audit: float = 0.0
    """The share of calls that is drawn at random for review."""
    accept: Acceptance | None = None
    streamed: bool = False
    """Replies are streamed: shown as they grow, and stopped where no continuation can mend them."""
    fingerprint: str = field(default="", compare=False)

    @property
    def certified(self) -> str:
        """Names what makes the candidates that a certificate is about; see `certified_part`."""
        return certified_part(describe_policy(self))

    @property
    def model_rungs(self) -> tuple[ModelRung, ...]:
        return tuple(rung for rung in self.ladder if isinstance(rung, ModelRung))

    @property
    def pure_checks(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.effect)

    @property
    def effect_checks(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.effect)


def describe_policy(policy: Policy) -> Json:
    """The policy as JSON, so that an old outcome can be explained; its digest is the fingerprint."""
    return {
        "name": policy.name,
        "prompt": policy.prompt.description,
        "schema": describe_schema(policy.schema),
        "ladder": [describe_rung(rung) for rung in policy.ladder],
        "checks": [_describe_check(check) for check in policy.checks],
        "reading": policy.reading.described(),
        "budget": {"requests": policy.budget.requests, "tokens": policy.budget.tokens, "usd": policy.budget.usd},
        "deadline_s": policy.deadline_s,
        "parser_version": PARSER_VERSION,
        "audit": policy.audit,
        "accept": policy.accept.description() if policy.accept else None,
    }


CERTIFIED = ("prompt", "schema", "checks", "reading", "parser_version")


def certified_part(description: Json) -> str:
    """A digest of what makes a guard's candidates: prompt, schema, models, sampling, comparators, checks, reading. What
    share is audited, what is promised, and who answers otherwise may change; the reviews still count."""
    models = [rung for rung in description["ladder"] if "model" in rung]
    made = [models, *(description.get(name) for name in CERTIFIED)]
    return digest_bytes(redact(encode(made, sort_keys=True)))  # as the log keeps it: secrets are taken out


def fingerprint(policy: Policy) -> str:
    return digest(describe_policy(policy))


def _describe_check(check: Check) -> Json:
    return {
        "name": check.name,
        "effect": check.effect,
        "severity": check.severity,
        "timeout_s": check.timeout_s,
        "function": check.version or describe_function(check.function),
    }
