"""The one outcome of a guarded call, and what it consists of: violations, repairs, attempts, votes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar, cast

from llmguard.core.canonical import Json
from llmguard.core.messages import NO_USAGE, Usage

T_co = TypeVar("T_co", covariant=True)

Status: TypeAlias = Literal["accepted", "recovered", "fallback", "escalated", "rejected", "interrupted"]
MODEL_STATUSES: tuple[Status, ...] = ("accepted", "recovered")
"""The statuses of `Outcome.is_from_model`, for queries and counts that have no outcome at hand."""
Severity: TypeAlias = Literal["reject", "flag"]
RepairKind: TypeAlias = Literal["lossless", "extracted", "syntactic", "lossy"]


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a reply. `path` is a JSON Pointer; `rule` names the keyword, check or failure kind.

    `message` is one clause for people and models; `expected` and `actual` are data, clipped, never the whole value.
    """

    path: str
    rule: str
    message: str
    expected: Json = None
    actual: Json = None
    severity: Severity = "reject"

    def __str__(self) -> str:
        return f"{self.path or '(whole value)'}: {self.message} [{self.rule}]"


Violations: TypeAlias = tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Repair:
    """One change between what the text said and the value. `lossless`: it said exactly this; `extracted`: it said
    this among other words; `syntactic`: it was broken in a way that has one reading; `lossy`: something was guessed or left
    out."""

    path: str
    before: Json
    after: Json
    kind: RepairKind
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Partial:
    """The value of a reply as far as it is known, as JSON; `address` names the attempt. It is yours to keep."""

    address: str
    value: Json


@dataclass(frozen=True, slots=True)
class Void:
    """Every partial from this address is void: it was re-asked, retried, or another rung answered."""

    address: str


StreamEvent: TypeAlias = Partial | Void

StopReason: TypeAlias = Literal["accept_boundary", "dissent_limit", "answer_settled", "n_max", "budget", "deadline"]
"""Why no more samples were drawn: by the rule of the vote (`llmguard.voting.stopping`), or by a bound."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A value that did not win, and how many samples gave it. `present=False`: the field was left out."""

    value: Json
    votes: int
    present: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSupport:
    """How well one field's value is supported: `votes` of `drawn` samples, the runners-up, and `confidence`, the
    probability that the model gave the value's tokens, where the server reports it (the mean over the samples that agree).

    `agreement` is None where nothing was voted. `ambiguous`: another value has as many votes.
    """

    value: Json = None
    agreement: float | None = None
    votes: int = 0
    drawn: int = 0
    alternatives: tuple[Alternative, ...] = ()
    ambiguous: bool = False
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample of a vote: its value (None where it is not valid), its model, and what it cost."""

    label: str
    valid: bool
    value: Json = None
    failure: str | None = None
    usage: Usage = NO_USAGE
    latency_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """The result of a vote, kept also where a later rung answered. `samples` are in submission order; the first `used`
    decided, the others were drawn for an audit.

    `candidate` is the voted value at the stop, in a tuple because it may be None, which is empty where no sample was valid:
    what a review judges. `source` is "medoid" where the assembled value broke its schema or a check, and the sample nearest
    to all others took its place. `refused`: the schema, a check or
    a judge objected to the candidate, whatever the vote said; `violations` says what they, or the dissenters, said.
    `rule`: plan or stop, and the comparators' versions.
    """

    rung: str
    candidate: tuple[Json, ...]
    accepted: bool
    reason: StopReason
    used: int
    agreement: float
    dissent: int
    samples: tuple[Sample, ...]
    source: Literal["vote", "medoid"] = "vote"
    refused: bool = False
    ambiguous: bool = False
    violations: Violations = ()
    rule: Json = None

    @property
    def sample_count(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judge, a check that is a guarded model call, said of the value: to be compared with people's verdicts."""

    check: str
    verdict: Literal["right", "wrong", "unsure"]
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: a request as it was sent once, and its result. `failure` is a failure kind, or None where the reply passed."""

    address: str
    rung: str
    text: str = ""
    failure: str | None = None
    message: str = ""
    violations: Violations = ()
    repairs: tuple[Repair, ...] = ()
    model: str = ""
    usage: Usage = NO_USAGE
    cost_usd: float | None = None
    latency_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T_co]):
    """How a guarded call ended: exactly one per call.

    `value` is typed as the schema's Python type; `json` is the same as JSON, as in the log. `source` names the rung
    that gave it. `violations` says why there is no value; a passed value may have `flags`. `id` finds the outcome in the log.

    Of a vote: `agreement` (the least of any field), `fields` by JSON Pointer, `alternatives` (whole values that did not
    win, with their votes) and `vote`, all of it. `score` is what an acceptance policy compares with its threshold. `proposed`
    has the model's value that passed everything but acceptance, where another rung answered. `certificate` names the
    certificate under which the value was accepted automatically.
    """

    status: Status
    value: T_co = cast(T_co, None)
    json: Json = field(default=None, repr=False)
    source: str = ""
    violations: Violations = ()
    flags: Violations = ()
    repairs: tuple[Repair, ...] = ()
    attempts: tuple[Attempt, ...] = field(default=(), repr=False)
    agreement: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    fields: Mapping[str, FieldSupport] = field(default_factory=dict, repr=False)
    vote: Vote | None = field(default=None, repr=False)
    judgements: tuple[Judgement, ...] = ()
    score: float | None = None
    proposed: tuple[Json, ...] = field(default=(), repr=False)
    usage: Usage = NO_USAGE
    certificate: str | None = None
    skipped_checks: tuple[str, ...] = ()
    review_probability: float = 0.0
    review_reason: str = ""
    id: str = field(default="", compare=False)
    guard: str = field(default="", compare=False)
    fingerprint: str = field(default="", compare=False)
    _priced: Callable[[tuple[Attempt, ...]], float | None] | None = field(default=None, repr=False, compare=False)

    @property
    def has_value(self) -> bool:
        return self.status in ("accepted", "recovered", "fallback")

    @property
    def is_from_model(self) -> bool:
        """Whether the value is a model's, accepted automatically: neither a deterministic rung's nor a person's."""
        return self.status in MODEL_STATUSES

    @property
    def candidate(self) -> tuple[Json, ...]:
        """What a review judges, as a tuple of one: the vote's candidate, or the model's own value; else empty."""
        if self.vote is not None:
            return self.vote.candidate
        return (self.json,) if self.is_from_model else self.proposed

    @property
    def cost(self) -> float | None:
        """US dollars of all requests, or None where a price is not known."""
        return self._priced(self.attempts) if self._priced else None

    def explain(self) -> str:
        """The outcome in a few lines: what was tried, and what was wrong with each reply."""
        name = f"guard {self.guard!r}" if self.guard else "the guard"
        lines = [f"{name} ended {self.status}" + (f" (outcome {self.id})" if self.id else "")]
        for attempt in self.attempts:
            lines.append(f"  {attempt.address} {attempt.rung}: {_describe_attempt(attempt)}")
        if self.vote is not None:
            lines.append(f"  {_describe_vote(self.vote)}")
        voted = self.vote.violations if self.vote is not None else ()
        lines += [f"  {violation}" for violation in self.violations if violation not in voted]
        return "\n".join(lines)


def _describe_vote(vote: Vote) -> str:
    more = f", {vote.sample_count - vote.used} more for an audit" if vote.sample_count > vote.used else ""
    result = "accepted" if vote.accepted and not vote.refused else "refused" if vote.refused else "not accepted"
    why = "".join(f"; {violation}" for violation in vote.violations[:3])
    return (
        f"vote of {vote.rung}: {vote.agreement:.0%} agree over {vote.used} samples ({vote.reason}{more}): {result}{why}"
    )


def _describe_attempt(attempt: Attempt) -> str:
    if attempt.failure is None:
        return "passed"
    reason = "; ".join(str(violation) for violation in attempt.violations[:3]) or attempt.message
    return f"{attempt.failure}: {reason}" if reason else attempt.failure
