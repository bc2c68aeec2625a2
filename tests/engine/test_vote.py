"""Votes in the story of a call: what is drawn, what is handed out, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest

from llmguard.core.canonical import Json
from llmguard.core.effects import Crashed
from llmguard.core.errors import UsageError
from llmguard.core.messages import ModelFailure, ModelReply, Sampling, Usage
from llmguard.core.outcome import Alternative, Attempt, Judgement, Outcome, Violation
from llmguard.core.record import decode_outcome, encode_outcome
from llmguard.engine.acceptance_policy import Acceptance, AcceptancePermit, certified, permit_from, with_family
from llmguard.engine.budget import Budget, BudgetTracker
from llmguard.engine.call import guarded_call
from llmguard.engine.check import JudgeResult, check
from llmguard.engine.ladder import ConstantRung, EscalateRung, ModelRung
from llmguard.engine.policy import Policy, certified_part, describe_policy, fingerprint
from llmguard.models.scripted import ScriptedModel
from llmguard.prompts import compile_prompt
from llmguard.runtime.execution import CallExecution
from llmguard.runtime.sync_driver import drive
from llmguard.schema import compile_schema
from llmguard.voting import Fixed, Plan, Predictive, SelfConsistency, equivalent

ORDER = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "name": {"type": "string"}},
    "required": ["id", "name"],
}

LETTER = {"enum": ["a", "b"]}
ANN, BOB = '{"id": 1, "name": "Ann"}', '{"id": %d, "name": "Bob"}'


def said(*values: Json) -> ScriptedModel:
    """A model that gives these replies in order: JSON texts, or what is no JSON."""
    return ScriptedModel(
        [value if isinstance(value, str | ModelReply | ModelFailure) else str(value) for value in values]
    )


def policy_of(model, votes: SelfConsistency | None, schema: Json = True, **parts) -> Policy:
    compiled = compile_schema(schema)
    rung = ModelRung(model=model, consistency=votes, reasks=parts.pop("reasks", 2))
    made = Policy(
        name="g",
        prompt=compile_prompt("p {{ x }}", name="g"),
        schema=compiled,
        output=compiled.response_format("g"),
        ladder=(replace(rung, **parts.pop("rung", {})), *parts.pop("then", ())),
        **parts,
    )
    return replace(made, fingerprint=fingerprint(made))


def told(policy: Policy, *, audited: bool = False) -> Outcome[Json]:
    outcome = drive(guarded_call(policy, {"x": 1}, audited=audited), CallExecution(waits=False))
    assert decode_outcome(encode_outcome(outcome)) == replace(
        outcome, attempts=tuple(replace(each, text="") for each in outcome.attempts)
    ), "what was voted is kept in the log as it was"
    return outcome


def test_samples_that_agree_are_accepted_after_as_few_as_the_plan_asks() -> None:
    """Plan (3, 2, 1): three that agree are enough, and nothing more is asked."""
    model = said('"a"', '"a"', '"a"', '"never asked"')
    outcome = told(policy_of(model, SelfConsistency()))
    assert (outcome.status, outcome.value, outcome.agreement, len(model.requests)) == ("accepted", "a", 1.0, 3)
    assert outcome.vote is not None
    assert (outcome.vote.reason, outcome.vote.used, outcome.vote.accepted) == ("accept_boundary", 3, True)


def test_one_dissent_costs_two_more_samples_and_is_shown_as_an_alternative() -> None:
    """What did not win is kept with its votes: "did you mean"."""
    outcome = told(policy_of(said('"a"', '"b"', '"a"', '"a"', '"a"'), SelfConsistency()))
    assert (outcome.value, outcome.agreement) == ("a", 0.8)
    assert outcome.alternatives == (Alternative("b", 1),)
    assert outcome.fields[""].alternatives == (Alternative("b", 1),)
    assert [sample.value for sample in outcome.vote.samples] == ["a", "b", "a", "a", "a"]


def test_samples_that_do_not_agree_are_not_accepted_and_their_candidate_is_kept() -> None:
    """The next rung answers; what was voted stays in the outcome, for a reviewer."""
    outcome = told(policy_of(said('"a"', '"b"', '"c"'), SelfConsistency(), then=(ConstantRung(value="?"),)))
    assert (outcome.status, outcome.value, outcome.vote.reason) == ("fallback", "?", "dissent_limit")
    assert outcome.candidate == ("a",)
    assert outcome.agreement == pytest.approx(1 / 3)


def test_a_vote_of_repaired_samples_is_recovered_and_lists_each_repair_once() -> None:
    """Whoever reads the outcome sees that the value was not what the model wrote."""
    ann, repaired = '{"id": 1, "name": "Ann"}', '{"id": 1, "name": "Ann",}'
    outcome = told(policy_of(said(repaired, ann, repaired), SelfConsistency(), ORDER))
    assert (outcome.status, [repair.rule for repair in outcome.repairs]) == ("recovered", ["trailing_comma"])


def test_repairs_of_a_sample_that_lost_are_not_those_of_the_vote() -> None:
    """The value that won was written as it is."""
    ann, other = '{"id": 1, "name": "Ann"}', '{"id": 2, "name": "Ann",}'
    outcome = told(policy_of(said(ann, other, ann, ann, ann), SelfConsistency(), ORDER))
    assert (outcome.status, outcome.agreement, outcome.repairs) == ("accepted", 0.8, ())


def test_what_the_samples_disagree_on_is_a_violation_with_path_and_values() -> None:
    """Whoever reads the failure sees the field, the leader and the others."""
    replies = ['{"id": 1, "name": "Ann"}', '{"id": 2, "name": "Ann"}', '{"id": 3, "name": "Ann"}']
    outcome = told(policy_of(said(*replies), SelfConsistency(), ORDER))
    (found,) = outcome.violations
    assert (found.path, found.rule, found.expected, found.actual) == ("/id", "inconsistent", 1, [2, 3])
    assert outcome.status == "rejected"


def test_fields_are_voted_on_one_by_one() -> None:
    """Each field has its own majority; the whole may be one that no sample said."""
    replies = [
        '{"id": 1, "name": "Ann"}',
        '{"id": 1, "name": "Bob"}',
        '{"id": 2, "name": "Ann"}',
        *['{"id": 1, "name": "Ann"}'] * 2,
    ]
    outcome = told(policy_of(said(*replies), SelfConsistency(n_max=5, stop=Fixed(3)), ORDER))
    assert outcome.value == {"id": 1, "name": "Ann"}
    assert {path: field.votes for path, field in outcome.fields.items()} == {"/id": 2, "/name": 2}


def test_an_invalid_sample_is_a_dissent_and_is_not_asked_again() -> None:
    """`on_invalid="dissent"`: five requests for five samples, although re-asks are allowed."""
    model = said('"a"', "{broken", '"a"', '"a"', '"a"')
    outcome = told(policy_of(model, SelfConsistency(), LETTER))
    assert (outcome.status, outcome.value, outcome.agreement, len(model.requests)) == ("accepted", "a", 0.8, 5)
    assert [sample.failure for sample in outcome.vote.samples] == [None, "unparsable", None, None, None]


def test_an_invalid_sample_is_asked_again_where_it_says_so() -> None:
    """`on_invalid="reask"`: the sample is mended, and then agrees."""
    model = said('"a"', "{broken", '"a"', '"a"')
    outcome = told(policy_of(model, SelfConsistency(on_invalid="reask"), LETTER))
    assert (outcome.status, outcome.agreement) == ("recovered", 1.0)
    assert [attempt.address for attempt in outcome.attempts] == [
        "r0/s0/a1/t1",
        "r0/s1/a1/t1",
        "r0/s1/a2/t1",
        "r0/s2/a1/t1",
    ]


def together_or_nothing(value: Json, inputs: Json) -> str | None:
    return None if (value["id"] == 1) == (value["name"] == "Ann") else "id and name are of two people"


SPLIT = [ANN, ANN, BOB % 2, ANN, BOB % 3, BOB % 4, BOB % 5]


def test_an_assembled_value_that_breaks_a_check_gives_way_to_the_medoid() -> None:
    """{"id": 1, "name": "Bob"} was never said, and no sample is like it; the nearest sample stands in, by its own support."""
    votes = SelfConsistency(n_max=7, stop=Fixed(7), min_agreement=0.25)
    outcome = told(policy_of(said(*SPLIT), votes, ORDER, checks=(check(together_or_nothing),)))
    assert (outcome.value, outcome.source) == ({"id": 1, "name": "Ann"}, "medoid")
    assert (outcome.vote.source, outcome.vote.dissent) == ("medoid", 4)
    assert (outcome.fields["/name"].value, outcome.fields["/name"].votes) == ("Ann", 3), "what stands behind it"
    assert outcome.fields["/name"].alternatives[0] == Alternative("Bob", 4)
    assert outcome.agreement == pytest.approx(3 / 7)


def test_a_medoid_that_too_few_stand_behind_is_not_accepted() -> None:
    """The votes of the assembled value are not the medoid's: with the default share of one half it is refused."""
    votes = SelfConsistency(n_max=7, stop=Fixed(7))
    outcome = told(policy_of(said(*SPLIT), votes, ORDER, checks=(check(together_or_nothing),)))
    assert (outcome.status, outcome.vote.source, outcome.vote.accepted) == ("rejected", "medoid", False)
    assert outcome.vote.refused is False


def at_most_two(value: Json, inputs: Json) -> str | None:
    return None if sum(value.values()) <= 2 else "more than two are on"


def test_a_medoid_is_not_accepted_because_the_assembled_value_would_be() -> None:
    """Two of three agree on each field, so the assembled value has support enough; its stand-in differs in one field."""
    switch = {"enum": [0, 1]}
    schema = {"properties": {"a": switch, "b": switch, "c": switch}, "required": ["a", "b", "c"]}
    replies = ['{"a": 1, "b": 1, "c": 0}', '{"a": 1, "b": 0, "c": 1}', '{"a": 0, "b": 1, "c": 1}']
    votes = SelfConsistency(n_max=3, stop=Fixed(3))
    assembled = told(policy_of(said(*replies), votes, schema))
    assert (assembled.status, assembled.value) == ("accepted", {"a": 1, "b": 1, "c": 1})
    outcome = told(policy_of(said(*replies), votes, schema, checks=(check(at_most_two),)))
    assert (outcome.status, outcome.vote.source, outcome.vote.accepted) == ("rejected", "medoid", False)


def test_a_voted_value_that_no_sample_can_stand_in_for_is_refused_with_its_check() -> None:
    """All samples failed on their own: the first failure says why."""
    outcome = told(
        policy_of(
            said(*['{"id": 1, "name": "Bob"}'] * 3), SelfConsistency(), ORDER, checks=(check(together_or_nothing),)
        )
    )
    assert (outcome.status, outcome.violations[0].rule) == ("rejected", "together_or_nothing")
    assert outcome.candidate == ()


def test_an_audited_call_draws_all_samples_and_hands_out_the_same_value() -> None:
    """The value is that of the plan's stop, whatever the samples drawn for the audit say."""
    replies = ['"a"'] * 3 + ['"b"'] * 4
    plain = told(policy_of(said(*replies), SelfConsistency(n_max=7), audit=0.25))
    audited = told(policy_of(said(*replies), SelfConsistency(n_max=7), audit=0.25), audited=True)
    assert (audited.value, audited.agreement, audited.vote.used, audited.vote.sample_count) == ("a", 1.0, 3, 7)
    assert (plain.review_probability, plain.review_reason) == (0.25, "")
    assert (audited.review_probability, audited.review_reason) == (0.25, "audit")
    assert (plain.value, plain.vote.sample_count) == ("a", 3)


def test_what_an_audit_draws_leaves_the_next_rung_its_budget() -> None:
    """Five samples and the next rung's request are more than the budget: the rung comes first, the extra samples last."""

    def call(audited: bool) -> Outcome[Json]:
        then, letters = (ModelRung(model=said('"z"')),), ['"a"', '"b"', '"c"', '"d"', '"e"']
        return told(policy_of(said(*letters), SelfConsistency(), then=then, budget=Budget(requests=5)), audited=audited)

    plain, audited = call(False), call(True)
    assert (plain.status, plain.value) == (audited.status, audited.value) == ("recovered", "z")


def test_what_an_audit_draws_leaves_a_judge_its_budget() -> None:
    """An objection of a judge that could not be asked would say something of the audit, and nothing of the value."""

    def call(audited: bool) -> Outcome[Json]:
        parts = {"checks": (judge_that_pays(),), "budget": Budget(requests=4)}
        return told(policy_of(said(*AGREED), SelfConsistency(), **parts), audited=audited)

    plain, audited = call(False), call(True)
    assert (plain.status, plain.value) == (audited.status, audited.value) == ("accepted", "a")
    assert (audited.vote.used, audited.vote.sample_count) == (3, 3), "nothing is left for the audit"


def test_a_retry_of_a_sample_for_the_audit_makes_no_other_status() -> None:
    """The samples that decided were each one request."""
    replies = [*AGREED[:3], ModelFailure("overloaded", "later"), '"a"', '"a"']
    outcome = told(policy_of(said(*replies), SelfConsistency()), audited=True)
    assert (outcome.status, len(outcome.attempts), outcome.vote.sample_count) == ("accepted", 6, 5)


@pytest.mark.parametrize("number", [1, 2])
def test_a_comparator_that_raises_is_no_vote(number: int) -> None:
    """It is the user's code: the next rung answers, whether it raised in the vote or when the alternatives were told apart."""

    def odd(one: Json, other: Json) -> bool:
        asked.append((one, other))
        if len(asked) >= number:
            raise ValueError("boo")
        return False

    asked: list[tuple[Json, Json]] = []
    votes = SelfConsistency(stop=Fixed(2), min_agreement=0.5, fields={"": equivalent(odd)})
    outcome = told(policy_of(said('"a"', '"b"'), votes, then=(ConstantRung(value="?"),)))
    assert (outcome.status, outcome.value, outcome.vote) == ("fallback", "?", None)
    assert [attempt.address for attempt in outcome.attempts] == ["r0/s0/a1/t1", "r0/s1/a1/t1"]


def test_an_escalated_call_that_was_drawn_counts_as_drawn() -> None:
    """Only a random draw says something of the calls that nobody reviews."""
    then = (EscalateRung(),)
    drawn = told(
        policy_of(said(*['"a"', '"b"', '"c"', '"a"', '"a"']), SelfConsistency(), then=then, audit=0.1), audited=True
    )
    other = told(policy_of(said('"a"', '"b"', '"c"'), SelfConsistency(), then=then, audit=0.1))
    assert (drawn.status, drawn.review_reason, drawn.review_probability) == ("escalated", "audit", 0.1)
    assert (other.status, other.review_reason, other.review_probability) == ("escalated", "escalated", 1.0)
    assert other.value == "a", "the draft for the person is what was voted"


def test_a_vote_stops_at_the_budget_and_says_so() -> None:
    """Two requests of five: the vote ends without acceptance, with the reason."""
    outcome = told(policy_of(said('"a"', '"a"'), SelfConsistency(), budget=Budget(requests=2)))
    assert (outcome.status, outcome.vote.reason, outcome.vote.accepted) == ("rejected", "budget", False)
    assert outcome.candidate == ("a",)


def test_a_vote_stops_at_the_deadline_with_what_came_in_time() -> None:
    """Samples that came stay; nothing more is asked."""
    model = said('"a"', '"a"', ModelFailure("deadline", "late"), '"never"')
    outcome = told(policy_of(model, SelfConsistency(stop=Predictive(0.05), n_max=9)))
    assert (outcome.vote.reason, outcome.status, len(model.requests)) == ("deadline", "accepted", 3)
    assert outcome.agreement == pytest.approx(2 / 3)


def test_samples_drawn_together_share_what_is_left_of_the_tokens() -> None:
    """Three at once get a third each: together they cannot spend more than the budget."""
    model = ScriptedModel.by_request(lambda request: '"a"')
    model.max_parallel = 3
    told(policy_of(model, SelfConsistency(), budget=Budget(tokens=300)))
    asked = [request.sampling.max_tokens for request in model.requests]
    assert len(asked) == 3
    assert all(tokens is not None and tokens < 100 for tokens in asked)


def test_judges_that_are_asked_together_share_what_is_left_of_the_tokens() -> None:
    """Each of three got all of it: together they spent the budget three times."""
    models = [ScriptedModel(["true"]) for _ in range(3)]
    checks = tuple(replace(judge_that_pays(model), name=f"judge{number}") for number, model in enumerate(models))
    told(policy_of(said('"a"'), None, checks=checks, budget=Budget(tokens=300)))
    asked = [model.requests[0].sampling.max_tokens for model in models]
    assert all(tokens is not None and tokens < 100 for tokens in asked)


def test_samples_drawn_together_do_not_outspend_a_budget_in_money() -> None:
    """A price is known when it was paid: one sample first, then as many at once as there is money for."""
    model = ScriptedModel.by_request(lambda request: ModelReply('"a"', cost_usd=1.0))
    outcome = told(policy_of(model, SelfConsistency(n_max=20, stop=Fixed(20)), budget=Budget(usd=4.5)))
    assert (outcome.vote.reason, len(model.requests)) == ("budget", 5)
    free = ScriptedModel.by_request(lambda request: ModelReply('"a"'))
    assert told(policy_of(free, SelfConsistency(), budget=Budget(usd=0.01))).status == "accepted"


def test_samples_that_are_asked_again_together_do_not_outspend_the_tokens() -> None:
    """What all answers of a step cost is counted before the first sample takes more."""

    def talks(request) -> ModelReply:
        used = request.sampling.max_tokens
        return ModelReply("not it", usage=Usage(input_tokens=6, output_tokens=used))

    model = ScriptedModel.by_request(talks)
    model.max_parallel = 8
    votes = SelfConsistency(n_max=8, stop=Fixed(8), on_invalid="reask")
    outcome = told(policy_of(model, votes, LETTER, budget=Budget(tokens=10_000)))
    assert outcome.usage.total_tokens <= 10_000 + 8 * 6


def test_a_seed_moves_on_from_sample_to_sample() -> None:
    """The same seed would give the same reply each time, and an agreement that means nothing."""
    model = said('"a"', '"a"', '"a"')
    told(policy_of(model, SelfConsistency(), rung={"sampling": Sampling(seed=7)}))
    assert [(request.sample, request.sampling.seed) for request in model.requests] == [(0, 7), (1, 8), (2, 9)]


def test_variants_take_turns() -> None:
    """Sample by sample, in submission order; the log says which one spoke."""
    small, large = said('"a"', '"a"'), ScriptedModel(['"a"'], name="large")
    rung = {"variants": (ModelRung(model=small), ModelRung(model=large))}
    outcome = told(policy_of(small, SelfConsistency(), rung=rung))
    assert [sample.label for sample in outcome.vote.samples] == [
        "scripted (variant 1)",
        "large (variant 2)",
        "scripted (variant 1)",
    ]


def test_a_batch_asks_no_model_for_more_than_it_bears() -> None:
    """`max_parallel` is each model's own; nobody's zero stops the drawing."""
    narrow, wide = said(), ScriptedModel([], name="wide")
    wide.max_parallel = 0
    rung = ModelRung(
        model=narrow, variants=(ModelRung(model=narrow), ModelRung(model=wide)), consistency=SelfConsistency()
    )
    assert rung.batch(0, 5) == [0, 1]
    other = ScriptedModel([], name="other")
    other.max_parallel = 2
    assert ModelRung(model=other, consistency=SelfConsistency()).batch(3, 5) == [3, 4]


@pytest.mark.slow
def test_long_values_that_all_differ_are_not_compared_pair_by_pair() -> None:
    """Each of 780 pairs was voted on: a call of 40 long lists blocked for half a minute after its deadline."""
    asked = 0

    def odd(one: Json, other: Json) -> bool:
        nonlocal asked
        asked += 1
        return False

    votes = SelfConsistency(n_max=40, stop=Fixed(40), fields={"": equivalent(odd)})
    outcome = told(policy_of(said(*(f'"{number} {"x" * 50_000}"' for number in range(40))), votes))
    assert len(outcome.alternatives) == 5
    assert asked < 780 + 20, "one vote, and a few comparisons"


def test_samples_that_stand_with_the_value_are_no_alternatives() -> None:
    """A chain of like texts is one answer; its ends are not like each other, nor all of them like the middle."""
    chain = ["aaaaaaaaaa", "aaaaaaaaab", "aaaaaaaabb", "aaaaaaabbb"]
    votes = SelfConsistency(stop=Fixed(5), fields={"": "text"})
    outcome = told(policy_of(said(*(f'"{text}"' for text in [*chain, "another"])), votes))
    assert (outcome.fields[""].votes, outcome.alternatives) == (4, (Alternative("another", 1),))


def test_a_tie_is_marked_and_sent_to_review() -> None:
    """The first one sampled stands, openly."""
    votes = SelfConsistency(stop=Fixed(2), min_agreement=0.5)
    outcome = told(policy_of(said('"a"', '"b"'), votes))
    assert (outcome.value, outcome.vote.ambiguous, outcome.review_reason) == ("a", True, "flagged")
    assert [flag.rule for flag in outcome.flags] == ["ambiguous"]


def test_failures_of_all_samples_are_told_as_what_they_are() -> None:
    """A wrong key is a wrong key, not a disagreement."""
    outcome = told(policy_of(ScriptedModel([ModelFailure("auth", "no such key")], repeat=True), SelfConsistency()))
    assert (outcome.status, outcome.violations[0].rule, outcome.vote.candidate) == ("rejected", "auth", ())


def test_a_vote_is_explained_in_a_line() -> None:
    """How many agreed, over how many, and why it ended."""
    outcome = told(policy_of(said('"a"', '"b"', '"c"'), SelfConsistency()))
    assert "vote of scripted: 33% agree over 3 samples (dissent_limit): not accepted" in outcome.explain()


# ------------------------------------------------------------------------------------------------- acceptance


def accepting(found: Json, **parts) -> Acceptance:
    return replace(certified(0.1, thresholds=(0.9, 0.5), **parts), lookup=lambda: found)


AGREED = ['"a"', '"a"', '"a"', '"a"', '"a"']


def test_a_certified_plan_decides_how_many_samples_are_drawn() -> None:
    """The certificate is about plan (5, 1, 0), so five are drawn, and the outcome names the certificate."""
    accept = accepting({"certificate": "c7", "plan": [5, 1, 0]})
    outcome = told(policy_of(said(*AGREED), SelfConsistency(), accept=accept))
    assert (outcome.status, outcome.vote.used, outcome.certificate) == ("accepted", 5, "c7")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"void": "there is no certificate"}, "there is no certificate"),
        ({"certificate": "c7", "void": "drift was found"}, "drift was found"),
        ({"certificate": "c7", "at_least": 1.1}, "its score is below 1.1"),
    ],
)
def test_what_no_certificate_covers_is_proposed_and_not_handed_out(found: Json, why: str) -> None:
    """It fails closed: the next rung answers, and the model's value is kept for whoever reviews."""
    outcome = told(
        policy_of(said(*AGREED), SelfConsistency(), accept=accepting(found), then=(ConstantRung(value="?"),))
    )
    assert (outcome.status, outcome.value, outcome.certificate) == ("fallback", "?", None)
    assert (outcome.candidate, outcome.proposed, outcome.score) == (("a",), ("a",), 1.0)
    rejected = told(policy_of(said(*AGREED), SelfConsistency(), accept=accepting(found)))
    assert rejected.violations[0].rule == "certified"
    assert why in rejected.violations[0].message


def test_a_lookup_that_fails_accepts_nothing() -> None:
    """A log that cannot be read is no certificate."""

    def broken() -> Json:
        raise OSError("the disk is gone")

    outcome = told(policy_of(said(*AGREED), SelfConsistency(), accept=replace(accepting({}), lookup=broken)))
    assert outcome.status == "rejected"
    assert "the disk is gone" in outcome.violations[0].message
    assert permit_from(Crashed("deadline", "late")) == AcceptancePermit(
        reason="the certificate could not be looked up: late"
    )


def test_one_sample_is_accepted_by_a_score_that_was_fixed_in_advance() -> None:
    """Agreement with a rule, for instance; what is below the certified threshold is not accepted."""
    found = {"certificate": "c1", "at_least": 0.9}
    agrees = accepting(found, score=lambda value, inputs: 1.0 if value == "a" else 0.0)
    assert told(policy_of(said('"a"'), None, accept=agrees)).certificate == "c1"
    other = told(policy_of(said('"b"'), None, accept=agrees))
    assert (other.status, other.score, other.proposed) == ("rejected", 0.0, ("b",))


def test_a_score_that_crashes_accepts_nothing() -> None:
    """It is the user's code, and its exception a violation."""
    broken = accepting({"certificate": "c1", "at_least": 0.9}, score=lambda value, inputs: 1 / 0)
    outcome = told(policy_of(said('"a"'), None, accept=broken))
    assert (outcome.status, outcome.violations[0].rule) == ("rejected", "crashed")


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "nan"])
def test_a_score_that_is_no_number_accepts_nothing(score: object) -> None:
    """NaN is not below any threshold, and passed each one."""
    odd = accepting({"certificate": "c1", "at_least": 0.9}, score=lambda value, inputs: score)
    outcome = told(policy_of(said('"a"'), None, accept=odd))
    assert (outcome.status, outcome.certificate, outcome.score) == ("rejected", None, None)


def test_confidence_as_a_score_needs_a_server_that_tells_it() -> None:
    """Without log-probabilities there is no score, and nothing is accepted."""
    outcome = told(
        policy_of(said('"a"'), None, accept=accepting({"certificate": "c1", "at_least": 0.5}, score="confidence"))
    )
    assert (outcome.status, outcome.score, outcome.candidate) == ("rejected", None, ("a",))


def sure(text: str, logprob: float) -> ModelReply:
    return ModelReply(text, logprobs=(('"', 0.0), (text[1:-1], logprob), ('"', 0.0)))


def test_confidence_is_that_of_the_samples_that_stand_with_the_value() -> None:
    """The mean over them; what dissenters were sure of does not count."""
    replies = [sure('"a"', -0.5), sure('"b"', 0.0), sure('"a"', -0.1), sure('"a"', -0.1), '"a"']
    outcome = told(policy_of(said(*replies), SelfConsistency()))
    assert outcome.fields[""].confidence == pytest.approx((exp(-0.5) + 2 * exp(-0.1)) / 3)


def test_one_sample_is_accepted_by_its_confidence_where_the_server_tells_it() -> None:
    """The least of any field is compared with the certified threshold."""
    accept = accepting({"certificate": "c1", "at_least": 0.8}, score="confidence")
    assert told(policy_of(said(sure('"a"', -0.1)), None, accept=accept)).score == pytest.approx(exp(-0.1))
    assert told(policy_of(said(sure('"a"', -0.5)), None, accept=accept)).status == "rejected"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"alpha": 0}, "alpha"),
        ({"alpha": 1}, "alpha"),
        ({"alpha": True}, "alpha"),
        ({"alpha": 0.02, "delta": 1.5}, "delta"),
        ({"alpha": 0.02, "delta": "x"}, "delta"),
        ({"alpha": 0.02, "plans": [(3, 2, 1)], "thresholds": (0.9,)}, "one of them"),
        ({"alpha": 0.02, "plans": [(3, 2, 1), (5, 1, 0)]}, "strict to loose"),
        ({"alpha": 0.02, "plans": [(3, 2, 1), (3, 2, 1)]}, "strict to loose"),
        ({"alpha": 0.02, "thresholds": (0.5, 0.9)}, "strict to loose"),
        ({"alpha": 0.02, "thresholds": (float("nan"),)}, "numbers"),
        ({"alpha": 0.02, "thresholds": ("0.9",)}, "numbers"),
        ({"alpha": 0.02, "score": "luck"}, "score"),
        ({"alpha": 0.02, "plans": [(3, 2, 1)], "score": "confidence"}, "Plans accept by votes"),
        ({"alpha": 0.02, "max_age_s": 0}, "max_age_s"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(given: dict[str, object], said: str) -> None:
    """When it is written down, in a sentence that names what is wrong."""
    with pytest.raises(UsageError, match=said):
        certified(**given)


def test_a_promise_is_named_by_what_makes_the_candidates_and_by_its_family() -> None:
    """One word of the prompt makes it another one; the share of audits and who answers otherwise do not."""
    policy = policy_of(said(), SelfConsistency())
    same = replace(policy, audit=0.5, ladder=(*policy.ladder, ConstantRung(value=1)), accept=certified(0.1))
    other = replace(policy, prompt=compile_prompt("P {{ x }}", name="g"))
    assert policy.certified == same.certified == certified_part(describe_policy(same)) != other.certified
    family, wider = certified(0.1, thresholds=(0.9,)), certified(0.1, thresholds=(0.9, 0.8))
    assert family.certificate_key("c") != wider.certificate_key("c") != wider.certificate_key("d")
    assert same.accept is not None
    assert same.accept.description()["alpha"] == 0.1


# ------------------------------------------------------------------------------------------------- judges


def judge_that_says(verdict: str, severity: str = "reject"):
    """As `llmguard.judge` makes it, with the verdict written down."""

    def flow(value: Json, inputs: Json, at: str, budget: BudgetTracker):
        yield from ()
        objects = (
            () if verdict == "right" else (Violation("", "judge", f"the judge says {verdict}", severity=severity),)
        )
        return JudgeResult(
            Judgement(check="judge", verdict=verdict), objects, (Attempt(address=at + "r0", rung="judge"),)
        )

    return replace(check(name="judge", effect=True, severity=severity)(lambda value, inputs: None), judge=flow)


def judge_that_pays(model: ScriptedModel | None = None):
    """A judge as `llmguard.judge` makes it, of one request."""
    right = policy_of(model or said("true"), None)

    def flow(value: Json, inputs: Json, at: str, budget: BudgetTracker):
        outcome = yield from guarded_call(right, inputs, at, budget)
        verdict = "right" if outcome.has_value else "unsure"
        objects = () if outcome.has_value else (Violation("", "judge", "it could not be asked"),)
        return JudgeResult(Judgement(check="judge", verdict=verdict), objects, outcome.attempts)

    return replace(check(name="judge", effect=True)(lambda value, inputs: None), judge=flow)


def test_a_judge_is_asked_once_of_the_voted_value() -> None:
    """Its verdict is kept, its requests are counted, and its objection refuses the vote."""
    outcome = told(policy_of(said('"a"', '"a"', '"a"'), SelfConsistency(), checks=(judge_that_says("wrong"),)))
    assert (outcome.status, outcome.vote.refused, outcome.candidate) == ("rejected", True, ("a",))
    assert outcome.judgements == (Judgement(check="judge", verdict="wrong"),)
    assert [attempt.address for attempt in outcome.attempts][-1] == "r0/c:judge/r0"


@pytest.mark.parametrize("votes", [None, SelfConsistency()])
def test_why_a_rung_gave_nothing_is_told_also_where_another_answers(votes: SelfConsistency | None) -> None:
    """With the vote, or with the request whose reply had passed alone: the fallback does not hide it."""
    then = (ConstantRung(value="?"),)
    checks = (check(name="asks", effect=True)(lambda value, inputs: None if value == "?" else "not in the database"),)
    outcome = told(policy_of(said('"a"', '"a"', '"a"'), votes, checks=checks, then=then))
    assert (outcome.status, outcome.value, outcome.violations) == ("fallback", "?", ())
    assert "not in the database [asks]" in outcome.explain()
    blamed = outcome.vote.violations if votes else outcome.attempts[-1].violations
    assert [violation.rule for violation in blamed] == ["asks"]


def test_a_judge_of_severity_flag_sends_to_review() -> None:
    """The value is accepted, and a person looks at it."""
    outcome = told(policy_of(said('"a"'), None, checks=(judge_that_says("unsure", "flag"),)))
    assert (outcome.status, outcome.review_reason, outcome.judgements[0].verdict) == ("accepted", "flagged", "unsure")


def test_an_audited_vote_is_judged_also_where_it_is_not_accepted() -> None:
    """Else a looser plan would be credited with values that its checks would have refused."""
    model = said('"a"', '"b"', '"c"', '"a"', '"a"')
    outcome = told(policy_of(model, SelfConsistency(), checks=(judge_that_says("wrong"),)), audited=True)
    assert (outcome.status, outcome.vote.accepted, outcome.vote.refused) == ("rejected", False, True)
    assert {violation.rule for violation in outcome.violations} == {"inconsistent", "judge"}


def test_the_usual_family_ends_with_the_guards_own_plan() -> None:
    """Strict to loose, and nothing that needs more samples than the guard may draw."""
    bound = with_family(certified(0.02), SelfConsistency(n_max=9, plan=(3, 2, 1)))
    assert [(plan.n0, plan.c) for plan in bound.plans] == [(9, 0), (6, 0), (4, 0), (3, 1)]
    assert with_family(certified(0.02), SelfConsistency(stop=Fixed(5))).thresholds[0] == 1.0
    with pytest.raises(UsageError, match="takes one sample"):
        with_family(certified(0.02), None)
    with pytest.raises(UsageError, match="may need 5 samples"):
        with_family(certified(0.02, plans=[Plan(3, 2, 1)]), SelfConsistency(n_max=4, plan=(3, 1, 1)))
    with pytest.raises(UsageError, match="give thresholds"):
        with_family(certified(0.02, plans=[Plan(3, 2, 1)]), SelfConsistency(stop=Fixed(5)))
