"""Recorded calls as rows: what was sent and what was right stands in a row, everything else is left out and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard import Guard, SelfConsistency, constant, escalate, rung
from llmguard.certification.audited_items import Verdict
from llmguard.core.canonical import Json, decode, encode
from llmguard.core.errors import UsageError
from llmguard.core.messages import Message, ModelFailure, ModelReply, Sampling
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record
from llmguard.log import Review
from llmguard.operations.datasets import (
    Answer,
    Dataset,
    Example,
    answer_of,
    example_of,
    prompt_functions,
    rows_of,
    sent_messages,
    side_of,
    stored_prompts,
    valid_share,
)
from llmguard.testing import ScriptedModel
from llmguard.voting import Fixed
from tests.operations.dataset_rules import wrong_with_chat, wrong_with_preference

SCHEMA = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
PROMPT = """system:
Name a colour.
user:
the sea
assistant:
{"colour": "blue"}
user:
{{ thing }}"""
FRONT_MATTER = """---
inputs:
  tone:
    default: kind
  thing:
    type: string
model:
  parameters:
    temperature: 0.5
---
"""
RED, BLUE, GREEN = '{"colour": "red"}', '{"colour": "blue"}', '{"colour": "green"}'


def reviewed(verdict: Verdict = "right", correction: tuple[Json, ...] = ()) -> Review:
    """As a reviewer left it."""
    return Review(id="", call_id="", verdict=verdict, correction=correction, at=0.0)


def made(*said: object, **options: object) -> tuple[Guard[Json], ScriptedModel]:
    """A guard over a script, with a log in memory, and the script."""
    model = ScriptedModel(said)
    options = {"prompt": PROMPT, "schema": SCHEMA, "models": [model], "log": None, "fallback": [escalate()], **options}
    return Guard("colour", **options), model


def called(guard: Guard[Json], **inputs: Json) -> tuple[Record, Json]:
    """The record of one call and the description of its guard, as they are in the log."""
    record = guard.log.get(guard.run(**(inputs or {"thing": "fire"})).id)
    assert record is not None
    return record, decode(encode(guard.log.explain(guard.fingerprint)["description"]))


def example(guard: Guard[Json], *reviews: Review, **inputs: Json) -> Example | str:
    record, description = called(guard, **inputs)
    return example_of(record, description, stored_prompts(description), reviews)


def first(sent: dict[str, tuple[Message, ...]] | str) -> tuple[Message, ...]:
    assert not isinstance(sent, str)
    return sent["r0/s0/a1/t1"]


# ------------------------------------------------------------------------------------------------- what was sent


@given(st.text())
def test_messages_are_those_the_model_was_sent(thing: str) -> None:
    """Rendered anew from the log's description, whatever the input holds: role lines, braces, lone surrogates."""
    guard, model = made(RED)
    found = example(guard, thing=thing)
    if not isinstance(found, Example):
        assert (found, thing) == ("not plain text", "")
        return
    assert found.messages == model.requests[0].messages
    assert found.answer == Answer(value={"colour": "red"})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampling": Sampling(temperature=0.0, seed=1, max_tokens=48, stop=("\n",))},
        {"budget_tokens": 5_000},
        {"budget_requests": 1},
        {"prompt": FRONT_MATTER + "user:\n{{ tone }} {{ thing }}"},
    ],
)
def test_the_digest_of_the_request_is_found_again(options: dict[str, Json]) -> None:
    """With sampling, front matter, defaults and budgets, which stand in the request or bound it."""
    guard, model = made(RED, **options)
    found = example(guard)
    assert isinstance(found, Example)
    assert found.messages == model.requests[0].messages


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["prompt"].update(template="{{ thing }}?"),
        lambda told: told["ladder"][0].update(model="another"),
        lambda told: told["ladder"][0].update(sampling={"temperature": 1.0}),
        lambda told: told["schema"].update(json_schema={"type": "object"}),
        lambda told: told.update(ladder=[{"escalate": True}]),
        lambda told: told.update(ladder=[]),
        lambda told: told.update(budget={"requests": 50, "tokens": 30, "usd": None}),
    ],
)
def test_a_row_is_left_out_where_the_request_was_another(change: object) -> None:
    """If prompt, model, sampling, schema or budget make another request than the recorded one, nothing is claimed."""
    guard, _ = made(RED)
    record, description = called(guard)
    change(description)
    assert example_of(record, description, stored_prompts(description)) == "not the request that was sent"


def test_the_first_prompt_that_makes_the_request_is_taken() -> None:
    """Of a stored prompt and a guard's own, the digest decides."""
    guard, model = made(RED)
    record, description = called(guard)
    renders = [lambda inputs: (Message("user", "?"),), guard.policy.prompt.render]
    assert first(sent_messages(record, description, renders)) == model.requests[0].messages
    assert sent_messages(record, description, renders[:1]) == "not the request that was sent"


def test_a_prompt_function_is_not_in_the_log() -> None:
    """Its name is; with the guard's function the messages are known, unless it says another thing each time."""

    def asked(inputs: Json) -> str:
        return f"The colour of {inputs['thing']}?"

    numbers = count()
    guard, model = made(RED, prompt=asked)
    record, description = called(guard)
    assert stored_prompts(description) == []
    assert prompt_functions(description)[0].endswith("asked")
    assert first(sent_messages(record, description, [guard.policy.prompt.render])) == model.requests[0].messages
    assert example_of(record, description, []) == "the prompt cannot be rendered"
    changing, _ = made(RED, prompt=lambda inputs: f"{next(numbers)}")
    record, description = called(changing)
    assert sent_messages(record, description, [changing.policy.prompt.render]) == "not the request that was sent"


def test_a_prompt_that_fails_leaves_the_row_out() -> None:
    """What a template or a user's function raises is counted; a stored template that is none is a UsageError."""
    guard, _ = made(RED)
    record, description = called(guard)
    hurt = replace(record, opening=replace(record.opening, inputs={"other": 1}))
    assert example_of(hurt, description, stored_prompts(description)) == "the prompt cannot be rendered"
    description["prompt"]["template"] = "{{ [redacted:api_key"
    with pytest.raises(UsageError, match="the prompt of guard 'colour' in the log"):
        stored_prompts(description)


def test_only_requests_of_the_prompt_itself_are_compared() -> None:
    """A judge's first request, a re-ask and a function's answer prove nothing of the prompt."""
    guard, _ = made(RED)
    record, description = called(guard)
    first = record.steps[0]
    elsewhere = tuple(replace(first, address=at) for at in ("r0/c:judge/r0/s0/a1/t1", "r0/s0/a2/t1", "r1"))
    moved = replace(record, steps=elsewhere)
    assert example_of(moved, description, stored_prompts(description)) == "no request in the log"


@pytest.mark.parametrize(
    ("options", "known"), [({}, 5), ({"sampling": Sampling(seed=7)}, 5), ({"budget_tokens": 3_000}, 2)]
)
def test_samples_of_a_vote_are_requests_of_their_own(options: dict[str, Json], known: int) -> None:
    """Variants with prompts and models of their own, seeds that move on. Of tokens that are bounded those that go out
    together have their part; what later requests may cost depends on what was spent, and they are not claimed."""
    models = [ScriptedModel([RED] * 5, name=name) for name in ("a", "b")]
    variants = [rung(models[0]), rung(models[1], prompt="{{ thing }}!")]
    votes = SelfConsistency(stop=Fixed(5), n_max=5, variants=variants)
    guard, _ = made(models=[models[0]], consistency=votes, **options)
    record, description = called(guard)
    sent = sent_messages(record, description, stored_prompts(description))
    asked = {f"r0/s{request.sample}/a1/t1": request.messages for model in models for request in model.requests}
    assert (len(sent), len(asked), {**asked, **sent} == asked) == (known, 5, True)
    found = example_of(record, description, stored_prompts(description))
    assert found.messages == asked["r0/s0/a1/t1"]


def test_rejected_samples_are_paired_with_their_own_prompt() -> None:
    """What a variant with another prompt said is no answer to the row's messages."""
    models = [ScriptedModel([GREEN, RED, RED], name="a"), ScriptedModel(['{"colour": "grey"}', RED], name="b")]
    votes = SelfConsistency(stop=Fixed(5), n_max=5, variants=[rung(models[0]), rung(models[1], prompt="{{ thing }}!")])
    guard, _ = made(models=[models[0]], consistency=votes)
    assert example(guard).rejected == (GREEN,)


def test_images_and_empty_messages_are_left_out() -> None:
    """OpenAI's checker wants text in every message."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "this?"}]}]
    for prompt in (lambda inputs: parts, lambda inputs: [{"role": "user", "content": ""}]):
        guard, _ = made(RED, prompt=prompt)
        record, description = called(guard)
        assert example_of(record, description, [guard.policy.prompt.render]) == "not plain text"


# ------------------------------------------------------------------------------------------------- what was right


@pytest.mark.parametrize(
    ("outcome", "reviews", "expected"),
    [
        (Outcome(status="accepted", json=1), [], Answer(value=1)),
        (Outcome(status="recovered", json=None), [], Answer(value=None)),
        (Outcome(status="accepted", json=1), [reviewed()], Answer(value=1)),
        (Outcome(status="accepted", json=1), [reviewed("wrong")], "reviewed wrong, without a correction"),
        (Outcome(status="accepted", json=1), [reviewed("unsure")], "reviewed unsure"),
        (Outcome(status="accepted", json=1), [reviewed("wrong"), reviewed()], Answer(value=1)),
        (Outcome(status="accepted", json=1), [reviewed("wrong", (2,))], Answer(value=2, corrected=True)),
        (Outcome(status="rejected"), [reviewed("wrong", (None,))], Answer(value=None, corrected=True)),
        (Outcome(status="fallback", json=1), [], "no answer to learn from"),
        (Outcome(status="fallback", json=1), [reviewed()], Answer(value=1)),
        (Outcome(status="escalated", json=1), [reviewed()], "no answer to learn from"),
        (Outcome(status="escalated", proposed=(3,)), [], "no answer to learn from"),
        (Outcome(status="escalated", proposed=(3,)), [reviewed()], Answer(value=3)),
        (Outcome(status="interrupted"), [], "no answer to learn from"),
    ],
)
def test_the_answer_is_what_passed_or_what_a_reviewer_said(
    outcome: Outcome[Json], reviews: list[Review], expected: object
) -> None:
    """The newest review counts. What a person called right is right, also where another rung answered."""
    assert answer_of(outcome, reviews) == expected


def test_what_has_no_answer_gives_no_example() -> None:
    """A call that runs, and one that a constant answered."""
    guard, _ = made(GREEN, GREEN, fallback=[constant({"colour": "red"})])
    record, description = called(guard)
    assert example_of(record, description, stored_prompts(description)) == "no answer to learn from"
    assert example_of(replace(record, outcome=None), description, []) == "not finished"


# ------------------------------------------------------------------------------------------------- rows


def test_sft_rows_are_what_openai_takes() -> None:
    """The answer is compact JSON; what the assistant says in the prompt is not learned."""
    guard, _ = made(f"Sure! {RED}")
    found = example(guard)
    (row,) = rows_of(found, "sft")
    assert wrong_with_chat(row) == []
    assert row["messages"][2:] == [
        {"role": "assistant", "content": '{"colour": "blue"}', "weight": 0},
        {"role": "user", "content": "fire"},
        {"role": "assistant", "content": '{"colour":"red"}'},
    ]


def test_a_rejected_reply_and_the_accepted_one_are_a_preference() -> None:
    """The pair has the prompt as input, not the conversation of the re-ask."""
    guard, model = made(GREEN, RED)
    (row,) = rows_of(example(guard), "dpo")
    assert wrong_with_preference(row) == []
    assert row["input"]["messages"] == [
        {"role": each.role, "content": each.content} for each in model.requests[0].messages
    ]
    assert (row["preferred_output"][0]["content"], row["non_preferred_output"][0]["content"]) == (
        '{"colour":"red"}',
        GREEN,
    )


def test_an_accepted_reply_that_was_corrected_is_rejected() -> None:
    """Where the reviewer says blue, the model's red is what was not preferred; one that says blue is no pair."""
    guard, _ = made(RED)
    found = example(guard, reviewed("wrong", ({"colour": "blue"},)))
    assert (found.rejected, found.answer.text) == ((RED,), '{"colour":"blue"}')
    guard, _ = made(BLUE)
    assert example(guard, reviewed("wrong", ({"colour": "blue"},))).rejected == ()


@pytest.mark.parametrize(
    "said", [ModelFailure("auth", "no"), ModelReply("{", finish_reason="length"), ModelReply(" ", finish_reason="stop")]
)
def test_what_was_not_said_is_no_preference(said: ModelFailure | ModelReply) -> None:
    """A failed request, a reply that was cut off and an empty one say nothing of what the model preferred."""
    second = ScriptedModel([RED], name="second")
    guard, _ = made(said, models=[ScriptedModel([said, said, said]), second], reasks=0)
    found = example(guard)
    assert isinstance(found, Example)
    assert found.rejected == ()


def test_two_rungs_with_the_same_wrong_reply_are_one_pair() -> None:
    """Each rejected text stands once."""
    models = [ScriptedModel([GREEN]), ScriptedModel([GREEN], name="b"), ScriptedModel([RED], name="c")]
    guard, _ = made(models=models, reasks=0)
    assert example(guard).rejected == (GREEN,)


def test_evals_rows_carry_their_outcome() -> None:
    """`input` and `ideal` as the open evals' basic templates read them, the id and where it came from beside."""
    guard, _ = made(RED)
    found = example(guard)
    (row,) = rows_of(found, "evals")
    assert (row["id"], row["ideal"], row["input"][0]) == (
        found.id,
        '{"colour":"red"}',
        {"role": "system", "content": "Name a colour."},
    )
    assert row["metadata"] == {
        "guard": "colour",
        "fingerprint": guard.fingerprint,
        "inputs": {"thing": "fire"},
        "corrected": False,
    }


# ------------------------------------------------------------------------------------------------- the whole


def examples(*things: Json) -> list[Example]:
    return [
        Example(
            id=str(number),
            guard="colour",
            fingerprint="f",
            inputs={"thing": thing},
            messages=(Message("user", f"{thing}?"),),
            answer=Answer(value={"colour": "red"}),
            rejected=(GREEN,),
        )
        for number, thing in enumerate(things)
    ]


@pytest.mark.parametrize("form", ["sft", "dpo", "evals"])
def test_equal_rows_stand_once(form: str) -> None:
    """Whatever outcome they are of; the others are counted."""
    dataset = Dataset(form)
    taken = [row for each in examples("fire", "sea", "fire") for row in dataset.add(each)]
    assert [row.id for row in taken] == ["0", "1"]
    assert (dataset.rows, dataset.left_out) == (Counter(train=2), Counter(duplicate=1))


def test_what_is_left_out_is_counted_by_reason() -> None:
    """Reasons of calls, and for dpo the calls without a rejected reply."""
    dataset = Dataset("dpo")
    calm = replace(examples("fire")[0], rejected=())
    for each in ("not finished", calm, "not finished"):
        assert dataset.add(each) == []
    assert dataset.left_out == Counter({"not finished": 2, "no rejected attempt": 1})


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=30), st.floats(0, 0.99))
def test_equal_inputs_never_stand_on_both_sides(calls: list[tuple[int, bool]], share: float) -> None:
    """Under different outcomes, prompts and answers, in whatever order; and again the same the next time."""
    sides: dict[int, set[str]] = {}
    dataset = Dataset("sft", share)
    for thing, answered in calls:
        each = replace(examples(thing)[0], answer=Answer(value=answered), fingerprint=str(answered))
        for row in dataset.add(each):
            sides.setdefault(thing, set()).add(row.side)
    assert all(len(found) == 1 for found in sides.values())
    assert {thing: {side_of({"thing": thing}, share)} for thing in sides} == sides


def test_the_share_of_a_split_is_about_what_was_asked() -> None:
    """Of 2,000 inputs, and none for a share of 0."""
    found = Counter(side_of({"thing": number}, 0.1) for number in range(2000))
    assert 150 < found["validation"] < 250
    assert {side_of({"thing": number}, 0.0) for number in range(100)} == {"train"}


def test_a_redacted_secret_keeps_a_row_out() -> None:
    """Unless it is asked for; the request is known all the same, as digests are of what was redacted."""
    guard, _ = made(RED)
    record, description = called(guard, thing="[redacted:api_key] of the sea")
    found = example_of(record, description, stored_prompts(description))
    assert Dataset("sft").add(found) == []
    assert len(Dataset("sft", keep_redacted=True).add(found)) == 1


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_a_share_is_less_than_the_whole(share: float) -> None:
    """What is no share is refused with the option's name."""
    assert valid_share(0.25) == 0.25
    with pytest.raises(UsageError, match="--split"):
        valid_share(share)
