"""`accept=certified(...)`: what may be accepted automatically. Without a valid certificate nothing is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, TypeAlias

from llmguard.core.canonical import Json, digest
from llmguard.core.effects import Crashed
from llmguard.core.errors import UsageError
from llmguard.engine.ladder import ModelRung
from llmguard.prompts.function import describe_function
from llmguard.voting import Fixed, Plan, SelfConsistency

Score: TypeAlias = "Literal['agreement', 'confidence'] | Callable[[Json, Json], float]"
"""What a threshold compares: the vote's agreement, the least log-probability confidence of a field, or a function of
(value, inputs) that was fixed in advance, such as agreement with a deterministic rule."""

THRESHOLDS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)
MAX_POLICIES = 16
"""In one family. Each is tested at the whole delta until the first fails, so a longer list adds cost and no power."""


def _no_certificates() -> Json:
    return {"void": "no log was bound"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """At most `alpha` of what is accepted automatically is wrong, with confidence 1 - `delta`. Makes: `certified(...)`.

    The family of policies, `plans` or `thresholds` on `score`, is ordered from strict to loose and fixed before any label
    is seen. `lookup` is bound by the guard: () -> {"certificate": id, "plan": [...]} or {..., "at_least": 0.9} or
    {"void": why}.
    """

    alpha: float
    delta: float
    plans: tuple[Plan, ...] = ()
    thresholds: tuple[float, ...] = ()
    score: Score = "agreement"
    max_age_s: float | None = None
    lookup: Callable[[], Json] = _no_certificates

    def description(self) -> Json:
        """For the guard's fingerprint."""
        return {"alpha": self.alpha, "delta": self.delta, "max_age_s": self.max_age_s, "family": self.family()}

    def family(self) -> Json:
        """The policies, as they are named in a certificate's fingerprint."""
        if self.plans:
            return [each.description() for each in self.plans]
        return {"score": score_name(self.score), "at_least": list(self.thresholds)}

    def certificate_key(self, certified: str) -> str:
        """Names what a certificate is about: what makes the candidates (`Policy.certified`), and this family."""
        return digest([certified, self.family()])


@dataclass(frozen=True, slots=True)
class AcceptancePermit:
    """What the look-up returned: the certificate and the plan or threshold it certifies, or the reason why there is none."""

    certificate: str = ""
    plan: Plan | None = None
    at_least: float | None = None
    reason: str = ""

    def apply_to(self, rung: ModelRung) -> ModelRung:
        """The rung as the certificate says that it draws samples and accepts."""
        if self.plan is None or rung.consistency is None:
            return rung
        return replace(rung, consistency=replace(rung.consistency, plan=self.plan, stop=None, min_agreement=None))


NO_PERMIT_NEEDED = AcceptancePermit()
"""Of a guard without `accept=`."""


def permit_from(result: Json | Crashed) -> AcceptancePermit:
    """The permit of a look-up; whatever is wrong with the look-up is a reason to accept nothing."""
    if isinstance(result, Crashed):
        return AcceptancePermit(reason=f"the certificate could not be looked up: {result.error}")
    if "void" in result:
        return AcceptancePermit(reason=str(result["void"]))
    plan = Plan(*result["plan"]) if "plan" in result else None
    return AcceptancePermit(result["certificate"], plan, result.get("at_least"))


def score_name(score: Score) -> Json:
    return score if isinstance(score, str) else getattr(score, "description", lambda: describe_function(score))()


# ------------------------------------------------------------------------------------------------- as a user gives it


def certified(
    alpha: float,
    delta: float = 0.05,
    *,
    plans: Sequence[tuple[int, int, int] | Plan] = (),
    thresholds: Sequence[float] = (),
    score: Score = "agreement",
    max_age_s: float | None = None,
) -> Acceptance:
    """Accept automatically only what a certificate covers: at most `alpha` wrong, with confidence 1 - `delta`.

    `llmguard certify` makes the certificate from reviewed audits. Without a valid one (none yet, expired after
    `max_age_s` seconds, another prompt, schema, model or check, drift found) the guard goes on to its next rung.

    Raises:
        UsageError: alpha or delta not above 0 and below 1, a family out of order, plans and thresholds together.

    >>> certified(0.02).thresholds, certified(0.02, plans=[(5, 1, 0), (3, 2, 1)]).plans[0].n0
    ((), 5)
    """
    for name, given in (("alpha", alpha), ("delta", delta)):
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 1:
            raise UsageError(
                f"certified({name}=...): expected a share above 0 and below 1, got {given!r}; 0.02 is 2 %."
            )
    if plans and thresholds:
        raise UsageError("certified(...) has plans and thresholds. A family is of one kind: give one of them.")
    if max_age_s is not None and not max_age_s > 0:
        raise UsageError(f"certified(max_age_s=...): expected seconds above 0, got {max_age_s!r}.")
    if not (score in ("agreement", "confidence") or callable(score)):
        raise UsageError(f"certified(score=...): expected 'agreement', 'confidence' or a function, got {score!r}.")
    if plans and score != "agreement":
        raise UsageError("certified(...) has plans and a score. Plans accept by votes; a score goes with thresholds.")
    return Acceptance(
        alpha=alpha,
        delta=delta,
        plans=_ordered_plans(plans),
        thresholds=_ordered(thresholds),
        score=score,
        max_age_s=max_age_s,
    )


def with_family(accept: Acceptance, votes: SelfConsistency | None) -> Acceptance:
    """The acceptance with a family that fits how the guard draws samples; UsageError where none can."""
    if votes is None and (accept.plans or accept.score == "agreement"):
        raise UsageError(
            "accept=certified(...) goes by votes, and the guard takes one sample. Give consistency=SelfConsistency(),"
            " or certified(..., score='confidence'), or a function of (value, inputs) as score."
        )
    if accept.plans:
        _refuse_plans_beyond(accept.plans, votes)
        return accept
    if accept.thresholds or votes is None or accept.score != "agreement" or not isinstance(votes.stopping, Plan):
        return accept if accept.thresholds else replace(accept, thresholds=THRESHOLDS)
    return replace(accept, plans=usual_plans(votes.stopping, votes.n_max))


def usual_plans(own: Plan, n_max: int) -> tuple[Plan, ...]:
    """Unanimous votes of n_max samples and fewer, then the guard's own plan: strict to loose.

    >>> [str(plan) for plan in usual_plans(Plan(3, 2, 1), 7)]
    ['plan (7, 1, 0)', 'plan (5, 1, 0)', 'plan (4, 1, 0)', 'plan (3, 2, 1)']
    """
    sizes = sorted({n for n in (n_max, (n_max + own.n0) // 2, own.n0 + 1) if n > own.n0}, reverse=True)
    return (*(Plan(n, 1, 0) for n in sizes), own)


def _ordered(thresholds: Sequence[float]) -> tuple[float, ...]:
    ordered = tuple(thresholds)
    if not all(isinstance(each, int | float) and isfinite(each) for each in ordered):
        raise UsageError(f"certified(thresholds=...): expected numbers such as (1.0, 0.8, 0.6), got {list(ordered)!r}.")
    if list(ordered) != sorted(set(ordered), reverse=True) or len(ordered) > MAX_POLICIES:
        raise UsageError(
            f"certified(thresholds=...): expected at most {MAX_POLICIES} numbers from strict to loose, each once, as in"
            f" (1.0, 0.8, 0.6); got {list(ordered)!r}."
        )
    return ordered


def _ordered_plans(plans: Sequence[tuple[int, int, int] | Plan]) -> tuple[Plan, ...]:
    made = tuple(each if isinstance(each, Plan) else Plan(*each) for each in plans)
    for number, plan in enumerate(made):
        if (
            plan in made[:number]
            or any(later.is_stricter(plan) for later in made[number + 1 :])
            or number >= MAX_POLICIES
        ):
            raise UsageError(
                f"certified(plans=...): expected at most {MAX_POLICIES} plans from strict to loose, each once; {plan} is"
                " too early in the list, or in it twice."
            )
    return made


def _refuse_plans_beyond(plans: Sequence[Plan], votes: SelfConsistency | None) -> None:
    assert votes is not None
    for plan in plans:
        if plan.most > votes.n_max:
            raise UsageError(
                f"certified: {plan} may need {plan.most} samples, and the guard draws at most n_max={votes.n_max}."
                f" Write SelfConsistency(n_max={plan.most}), or a smaller plan."
            )
    if isinstance(votes.stopping, Fixed) or not all(each.monotone for each in votes.comparators.values()):
        raise UsageError(
            "certified(plans=...) stops votes early, and this guard must draw a fixed number: give thresholds."
        )
