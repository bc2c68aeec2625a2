"""Random policies and a model whose answers follow from a seed and the request, whoever asks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import replace

from llmguard.core.canonical import Json, digest_bytes, encode
from llmguard.core.messages import ModelFailure, ModelReply, Sampling, Usage
from llmguard.core.model import ModelDefaults
from llmguard.core.outcome import Judgement, Outcome, Violation
from llmguard.core.record import Step
from llmguard.core.redaction import redact
from llmguard.engine.acceptance_policy import Acceptance
from llmguard.engine.budget import Budget, BudgetTracker
from llmguard.engine.call import guarded_call
from llmguard.engine.check import JudgeResult, check
from llmguard.engine.ladder import (
    ConstantRung,
    EscalateRung,
    FunctionRung,
    LastGoodRung,
    ModelRung,
    Retry,
    SalvageRung,
)
from llmguard.engine.policy import Policy, fingerprint
from llmguard.prompts import compile_prompt
from llmguard.runtime.async_driver import adrive
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.recorded import Recorded
from llmguard.runtime.sync_driver import drive
from llmguard.schema import compile_schema
from llmguard.voting import Fixed, Predictive, SelfConsistency

SCHEMA = compile_schema(
    {
        "type": "object",
        "properties": {"x": {"type": "integer", "minimum": 0}, "y": {"type": "string"}},
        "required": ["x"],
        "additionalProperties": False,
    }
)

SAID = [
    *['{"x": 1}'] * 4,
    '{"x": 2}',
    '```json\n{"x": 3}\n```',
    '{"x": -1}',
    '{"x": 1, "y": 5}',
    '{"x": "\\ud800"}',
    '{"x": 1, "x": 2}',
    '{"x": 18446744073709551616}',
    '{"x',
    "",
    "no JSON here",
    "\x00\ud800",
]
FAILED = ["rate_limited", "server_error", "timeout", "auth", "refusal", "malformed"]


class SeededModel(ModelDefaults):
    """The same request gets the same answer; `asked` counts the requests that went out."""

    def __init__(self, name: str, seed: int, runs_on: str = "inline", deadlines: bool = True) -> None:
        self.name, self.seed, self.runs_on, self.deadlines = name, seed, runs_on, deadlines
        self.calm = seed % 5 < 2
        self.asked: list[str] = []
        self.asked_before: list[str] = []

    def remember(self, steps: Iterable[Step]) -> None:
        """Requests that a process which died has sent already."""
        self.asked_before = [step.digest for step in steps]

    def call(self, request, deadline):
        asked = digest_bytes(redact(encode(request.to_json(), sort_keys=True)))
        self.asked.append(asked)
        tries = self.asked.count(asked) + self.asked_before.count(asked)
        rng = random.Random(f"{self.seed} {asked} {tries}")
        if self.calm and rng.random() < 0.9:
            text = rng.choice(['{"x": 1}'] * 5 + ['{"x": 1, "y": "a"}'])
            tokens = tuple((letter, -0.1) for letter in text) if self.seed % 2 else ()
            return ModelReply(text, usage=Usage(input_tokens=9, output_tokens=7), logprobs=tokens)
        kind = rng.random()
        if kind < 0.04:
            raise ValueError("the adapter broke")
        if kind < 0.08 and self.deadlines:
            return ModelFailure("deadline", "simulated")
        if kind < 0.30:
            return ModelFailure(rng.choice(FAILED), "failed", retry_after_s=rng.choice([None, 0.0]))
        if kind < 0.34:
            return ModelFailure("bad_request", "no json_schema here", downgraded=True)
        text = rng.choice(SAID)
        finish = rng.choice(["stop"] * 8 + ["length", "content_filter"])
        return ModelReply(text, finish_reason=finish, usage=Usage(input_tokens=9, output_tokens=len(text)))

    async def acall(self, request, deadline):
        await asyncio.sleep(0)
        return self.call(request, deadline)


def not_two(value: Json, inputs: Json) -> object:
    return Violation("/x", "", "x is 2", actual=2) if value["x"] == 2 else None


async def not_two_async(value: Json, inputs: Json) -> object:
    await asyncio.sleep(0)
    return "x is 2" if value["x"] == 2 else None


def explodes(value: Json, inputs: Json) -> object:
    raise RuntimeError("boom")


def random_checks(rng: random.Random):
    made = [
        check(name="pure")(not_two),
        check(name="pure-bool")(lambda value, inputs: True),
        check(name="raises")(explodes),
        check(name="flags", severity="flag")(not_two),
        check(name="inline", effect=True)(not_two),
        check(name="thread", effect=True, timeout_s=20.0)(not_two),
        check(name="loop", effect=True, timeout_s=20.0)(not_two_async),
        check(name="effect-raises", effect=True)(explodes),
    ]
    weights = [4, 0.3, 0.3, 2, 2, 2, 2, 0.3]
    return tuple({each.name: each for each in rng.choices(made, weights, k=rng.randint(0, 3))}.values())


async def rule_async(inputs: Json) -> Json:
    return {"x": 8}


def no_json(inputs: Json) -> object:
    return object()


def nan(inputs: Json) -> object:
    return {"x": float("nan")}


FALLBACKS = [
    FunctionRung(function=lambda inputs: {"x": 7}, name="rule"),
    FunctionRung(function=lambda inputs: {"x": 2}, name="two", timeout_s=20.0),
    FunctionRung(function=rule_async, name="rule_async"),
    FunctionRung(function=lambda inputs: {"x": -3}, name="wrong"),
    FunctionRung(function=no_json, name="no_json"),
    FunctionRung(function=nan, name="nan"),
    FunctionRung(function=lambda inputs: 1 / 0, name="raises"),
    ConstantRung(value={"x": 0}),
    LastGoodRung(max_age_s=9.0, lookup=lambda guard, inputs, age: {"value": {"x": 4}} if inputs["n"] % 2 else None),
    SalvageRung(),
]


def random_votes(rng: random.Random) -> SelfConsistency:
    fields = rng.choice([{}, {"/x": "number"}, {"/y": "exact"}])
    on_invalid = rng.choice(["dissent", "reask"])
    if rng.random() < 0.6:
        plan = rng.choice([(3, 2, 1), (2, 1, 1), (1, 1, 0), (4, 1, 2)])
        fields = {path: each for path, each in fields.items() if each == "exact"}
        return SelfConsistency(n_max=rng.choice([6, 7, 9]), plan=plan, fields=fields, on_invalid=on_invalid)
    stop = Fixed(rng.randint(1, 5)) if "/x" in fields else rng.choice([Fixed(4), Predictive(0.1)])
    share = rng.choice([None, 0.4, 1.0])
    return SelfConsistency(n_max=6, stop=stop, fields=fields, on_invalid=on_invalid, min_agreement=share)


def judge_of(policy: Policy):
    """A judge as `llmguard.judge` makes it, of another policy."""

    def judged(value: Json, inputs: Json, at: str, budget: BudgetTracker):
        outcome = yield from guarded_call(policy, inputs, at, budget)
        right = outcome.has_value and outcome.json["x"] != 2
        found = () if right else (Violation("", "judge", "the judge objects"),)
        return JudgeResult(Judgement(check="judge", verdict="right" if right else "wrong"), found, outcome.attempts)

    return check(name="judge", effect=True)(lambda value, inputs: None), judged


def random_accept(rng: random.Random) -> Acceptance:
    said = rng.choice(
        [
            {"void": "there is none"},
            {"certificate": "c1", "plan": [3, 1, 0]},
            {"certificate": "c2", "at_least": 0.8},
            {"certificate": "c3", "at_least": 0.1},
        ]
    )
    score = rng.choice(["agreement", "confidence", lambda value, inputs: value["x"] / 2])
    return Acceptance(alpha=0.1, delta=0.1, thresholds=(0.8, 0.1), score=score, lookup=lambda: said)


def at_most(tries: int):
    return lambda state: state.attempt_number >= tries


def random_policy(seed: int, deadlines: bool = True) -> tuple[Policy, list[SeededModel]]:
    rng = random.Random(seed)
    models = [
        SeededModel(f"m{number}", seed, rng.choice(["inline", "inline", "thread", "loop"]), deadlines)
        for number in range(rng.randint(1, 3))
    ]
    rungs = [
        ModelRung(
            model=model,
            reasks=rng.randint(0, 3),
            retry=Retry(stop=at_most(rng.randint(1, 3)), wait=lambda state: 0.0),
            sampling=Sampling(seed=rng.choice([None, 5])),
            consistency=random_votes(rng) if rng.random() < 0.4 else None,
        )
        for model in models
    ]
    if rungs[0].consistency is not None and rng.random() < 0.5:
        rungs[0] = replace(rungs[0], variants=tuple(replace(each, consistency=None) for each in rungs))
    ladder = [*rungs, *rng.choices(FALLBACKS, k=rng.randint(0, 3))]
    if rng.random() < 0.2:
        ladder.append(EscalateRung())
    policy = Policy(
        name="random",
        prompt=compile_prompt("number {{ n }}", name="random"),
        schema=SCHEMA,
        output=SCHEMA.response_format("random"),
        ladder=tuple(ladder),
        checks=random_checks(rng),
        budget=Budget(requests=rng.choice([2, 5, 50]), tokens=rng.choice([None, None, 60, 200])),
        audit=0.3,
        accept=random_accept(rng) if rng.random() < 0.2 else None,
    )
    if rng.random() < 0.15:
        judge, flow = judge_of(replace(policy, checks=(), accept=None, ladder=(rungs[-1],)))
        policy = replace(policy, checks=(*policy.checks, replace(judge, judge=flow)))
    return replace(policy, fingerprint=fingerprint(policy)), models


def is_audited(seed: int) -> bool:
    return seed % 3 == 0


def run(policy: Policy, seed: int, driver: str, steps: tuple[Step, ...] = ()) -> tuple[Outcome[Json], list[Step]]:
    """Outcome and the steps that were performed, by one driver."""
    live: list[Step] = []
    job = CallExecution(
        on_step_end=live.append, recorded=Recorded(steps) if steps else None, hard_deadline=driver == "threads"
    )
    flow = guarded_call(policy, {"n": seed}, audited=is_audited(seed))
    outcome = asyncio.run(adrive(flow, job)) if driver == "async" else drive(flow, job)
    return outcome, live
