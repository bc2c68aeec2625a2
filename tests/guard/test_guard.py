"""A guard as its user meets it: built, called, wrong on purpose."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import warnings
from pathlib import Path
from typing import Literal

import pydantic
import pytest
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from llmguard import (
    FunctionModel,
    Guard,
    GuardRejected,
    LogError,
    ModelFailure,
    ModelReply,
    Retry,
    Sampling,
    UsageError,
    check,
    constant,
    escalate,
    fallback,
    guarded,
    last_good,
    rung,
    salvage,
)
from llmguard.testing import ScriptedModel


class Person(pydantic.BaseModel):
    name: str
    age: int = 0


@dataclasses.dataclass
class Point:
    x: int
    y: int


class City(TypedDict):
    name: str


def guard(schema: object, *replies: object, log: object = None, **more: object) -> Guard:
    models = [ScriptedModel(list(replies))] if replies else []
    return Guard("test", prompt="Say {{ it }}", schema=schema, models=models, log=log, **more)


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (int, "36", 36),
        (Literal["a", "b"], '"a"', "a"),
        (list[int], "[1, 2]", [1, 2]),
        (int | None, "null", None),
        (Person, '{"name": "Ada"}', Person(name="Ada", age=0)),
        (Point, '{"x": 1, "y": 2}', Point(1, 2)),
        (City, '{"name": "London"}', {"name": "London"}),
        ({"type": "integer"}, "36", 36),
        ('{"type": "integer"}', "36", 36),
    ],
)
def test_the_value_comes_back_as_the_schemas_type(schema: object, reply: str, value: object) -> None:
    """From a Python type, a dict or JSON text."""
    assert guard(schema, reply)(it="x") == value
    assert asyncio.run(guard(schema, reply).acall(it="x")) == value


def test_a_rejected_call_raises_with_its_outcome() -> None:
    """`run` returns it; calling the guard raises, and says what was wrong."""
    with pytest.raises(GuardRejected, match="ended rejected") as raised:
        guard(int, "thirty", "forty", "fifty")(it="x")
    assert raised.value.outcome.status == "rejected"
    assert len(raised.value.outcome.attempts) == 3


def test_an_escalated_call_raises_until_a_person_has_decided() -> None:
    """A provisional value is only in the outcome."""
    with pytest.raises(GuardRejected) as raised:
        guard(int, "thirty", "forty", "fifty", fallback=[escalate()])(it="x")
    assert raised.value.outcome.status == "escalated"


def test_a_guard_whose_last_rung_is_a_constant_never_raises() -> None:
    """Whatever the model does."""
    assert guard(int, ModelFailure("auth"), fallback=[constant(0)])(it="x") == 0


def test_a_fallback_may_return_the_schemas_type() -> None:
    """It crosses as JSON, and comes back as the type."""
    outcome = guard(Person, fallback=[lambda inputs: Person(name=inputs["it"])]).run(it="Ada")
    assert (outcome.status, outcome.value, outcome.json) == ("fallback", Person(name="Ada"), {"name": "Ada", "age": 0})


def test_an_async_fallback_and_check_work_in_both_worlds() -> None:
    """Also inside a running loop, as in a notebook."""

    async def rule(inputs: object) -> int:
        await asyncio.sleep(0)
        return 7

    @check(effect=True)
    async def not_eight(value: int, inputs: object) -> str | None:
        await asyncio.sleep(0)
        return "it is eight" if value == 8 else None

    made = guard(int, fallback=[lambda inputs: 8, rule], checks=[not_eight])
    assert made(it="x") == asyncio.run(made.acall(it="x")) == 7

    async def notebook() -> int:
        return made(it="x")

    assert asyncio.run(notebook()) == 7


def test_a_check_sees_the_schemas_type() -> None:
    """Not its JSON."""

    @check
    def has_a_name(person: Person, inputs: object) -> str | None:
        return None if person.name else "no name"

    outcome = guard(Person, '{"name": ""}', '{"name": "Ada"}', checks=[has_a_name]).run(it="x")
    assert outcome.value == Person(name="Ada")
    assert outcome.attempts[0].violations[0].rule == "has_a_name"


def test_a_validator_of_the_users_type_is_a_rule() -> None:
    """What pydantic refuses beyond the schema is a violation, and the model is told."""

    class Even(pydantic.BaseModel):
        number: int

        @pydantic.field_validator("number")
        @classmethod
        def even(cls, number: int) -> int:
            if number % 2:
                raise ValueError("must be even")
            return number

    outcome = guard(Even, '{"number": 3}', '{"number": 4}').run(it="x")
    assert (outcome.status, outcome.value.number) == ("recovered", 4)
    assert "must be even" in str(outcome.attempts[0].violations[0])


def test_files_are_read_when_the_guard_is_built(tmp_path: Path) -> None:
    """Prompt and schema by name, a schema's sibling by its local reference."""
    (tmp_path / "name.json").write_text('{"type": "string", "minLength": 1}')
    (tmp_path / "person.json").write_text('{"type": "object", "properties": {"name": {"$ref": "name.json"}}}')
    (tmp_path / "person.prompty").write_text("---\nname: person\n---\nsystem:\nBe brief.\nuser:\nWho is {{ who }}?\n")
    model = ScriptedModel(['{"name": ""}', '{"name": "Ada"}'])
    made = Guard(
        "person",
        prompt=str(tmp_path / "person.prompty"),
        schema=str(tmp_path / "person.json"),
        models=[model],
        log=None,
    )
    assert made(who="Ada") == {"name": "Ada"}
    assert [message.role for message in model.requests[0].messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"schema": {"type": "integr"}}, "integr"),
        ({"schema": "nowhere.json"}, "'nowhere.json' does not exist"),
        ({"prompt": "nowhere.prompty"}, "'nowhere.prompty' does not exist"),
        ({"prompt": "{{ unclosed"}, "prompt"),
        ({"prompt": 3}, "prompt of guard 'test' is a int"),
        ({"name": "../etc"}, "guard name '../etc'"),
        ({"name": "ünter"}, "expected 1 to 64"),
        ({"models": []}, "neither models= nor fallback="),
        ({"models": [3]}, "got int"),
        ({"models": [" "]}, "model"),
        ({"models": ["gpt-5-mini"]}, "OPENAI_API_KEY"),
        ({"models": ["gpt-5-mini"], "log": "mysql://x"}, "log"),
        ({"log": "sqlite:////nowhere/at/all/x.db"}, "/nowhere/at/all"),
        ({"reasks": -1}, "reasks=-1"),
        ({"deadline_s": 0}, "deadline_s=0"),
        ({"budget_requests": 0}, "budget_requests=0"),
        ({"budget_usd": -1}, "budget_usd=-1"),
        ({"fallback": [constant("x")]}, "breaks its own schema"),
        ({"fallback": [constant(object())]}, "constant"),
        ({"fallback": [3]}, "constant(3)"),
        ({"fallback": [escalate(), constant(1)]}, "not its last rung"),
        ({"models": [], "fallback": [salvage()]}, "no reply to salvage"),
        ({"checks": [3]}, "a check is a function"),
        ({"checks": [lambda value, inputs: None, lambda value, inputs: None]}, "two checks named"),
    ],
)
def test_what_cannot_work_is_refused_when_the_guard_is_built(arguments: dict[str, object], said: str) -> None:
    """With what was found, and the mend."""
    whole = {"name": "test", "prompt": "Say {{ it }}", "schema": int, "models": [ScriptedModel(["1"])], "log": None}
    with pytest.raises((UsageError, LogError)) as raised:
        Guard(**{**whole, **arguments})
    assert said in str(raised.value)


@pytest.mark.parametrize("broken", [{"max_age_s": 0}, {"max_age_s": -1}, {"max_age_s": float("nan")}])
def test_a_last_good_value_wants_an_age(broken: dict[str, float]) -> None:
    """Above 0."""
    with pytest.raises(UsageError, match="max_age_s"):
        last_good(**broken)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "misses the input 'it'"),
        ({"it": 1, "that": 2}, "does not know the input 'that'; its prompt takes: it"),
        ({"it": object()}, "object at '/it' is not JSON"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs: dict[str, object], said: str) -> None:
    """Before anything is sent or logged."""
    with pytest.raises(UsageError) as raised:
        guard(int, "1").run(**inputs)
    assert said in str(raised.value)


def test_a_keyword_near_a_known_one_is_a_warning() -> None:
    """`requird` would pass in silence otherwise."""
    with pytest.warns(UserWarning, match="requird"):
        guard({"type": "object", "requird": ["a"]}, "{}")


def test_a_guard_names_what_decides_it() -> None:
    """Another prompt, schema, check or model is another guard; the same is the same."""

    def one(value: object, inputs: object) -> None: ...

    def other(value: object, inputs: object) -> str | None: ...

    prints = [
        guard(int, "1").fingerprint,
        guard(str, "1").fingerprint,
        guard(int, "1", checks=[one]).fingerprint,
        guard(int, "1", checks=[other]).fingerprint,
        guard(int, "1", checks=[check(version="2", name="one")(one)]).fingerprint,
        guard(int, "1", reasks=0).fingerprint,
        guard(int, "1", sampling=Sampling(temperature=0.0)).fingerprint,
        guard(int, "1", fallback=[constant(0)]).fingerprint,
        guard(int, "1", budget_tokens=5).fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert guard(int, "1", checks=[one]).fingerprint == prints[2]


def test_a_rung_overrides_what_stands_on_the_guard() -> None:
    """Here the first model is not asked again."""
    small, large = ScriptedModel(["x"], name="small"), ScriptedModel(["y", "1"], name="large")
    made = Guard("test", prompt="p", schema=int, models=[rung(small, reasks=0), large], log=None)
    assert made.run().source == "large"
    assert (len(small.requests), len(large.requests)) == (1, 2)


def test_retries_speak_tenacity() -> None:
    """Its stop and wait strategies are the policy."""
    from tenacity import stop_after_attempt, wait_none

    model = ScriptedModel([ModelFailure("timeout")] * 4 + ["1"])
    retry = Retry(stop=stop_after_attempt(5), wait=wait_none())
    assert Guard("test", prompt="p", schema=int, models=[model], retry=retry, log=None).run().status == "recovered"


def test_a_function_may_be_the_model() -> None:
    """Sync or async."""

    async def answers(request: object) -> ModelReply:
        return ModelReply("2")

    assert Guard("test", prompt="p", schema=int, models=[FunctionModel(lambda request: "1")], log=None)() == 1
    made = Guard("test", prompt="p", schema=int, models=[FunctionModel(answers)], log=None)
    assert made() == asyncio.run(made.acall()) == 2


def test_a_model_that_raises_is_crashed_and_the_next_rung_answers() -> None:
    """An adapter's bug costs its rung."""
    made = Guard(
        "test", prompt="p", schema=int, models=[FunctionModel(lambda request: 1 / 0)], fallback=[constant(0)], log=None
    )
    outcome = made.run()
    assert (outcome.status, outcome.attempts[0].failure) == ("fallback", "crashed")
    assert "ZeroDivisionError" in outcome.attempts[0].message


def test_the_last_good_value_is_one_for_the_same_inputs() -> None:
    """Not older than allowed, and never a fallback's."""
    replies = ["1", ModelFailure("auth"), ModelFailure("auth")]
    made = guard(int, *replies, fallback=[last_good(max_age_s=60), constant(0)])
    assert [made.run(it="a").source, made.run(it="a").source, made.run(it="b").source] == [
        "scripted",
        "last_good",
        "constant",
    ]


def test_a_budget_in_money_is_kept_by_the_prices_of_the_models() -> None:
    """A model whose price is known is counted."""
    reply = ModelReply("x", usage=dataclasses.replace(ModelReply("").usage, input_tokens=10**6))
    model = ScriptedModel([reply, reply], name="gpt-4o-mini")
    outcome = Guard("test", prompt="p", schema=int, models=[model], budget_usd=0.0001, log=None).run()
    assert outcome.attempts[-1].failure == "budget"
    assert outcome.cost > 0.01


def test_the_cost_of_an_unknown_model_is_none() -> None:
    """Rather than 0."""
    assert guard(int, "1").run(it="x").cost is None


def test_fallback_functions_can_be_bounded() -> None:
    """One that hangs is left behind."""
    import threading

    made = guard(int, fallback=[fallback(lambda inputs: threading.Event().wait(), timeout_s=0.05), constant(0)])
    outcome = made.run(it="x")
    assert (outcome.value, outcome.source) == (0, "constant")


# ------------------------------------------------------------------------------------------------- @guarded


def test_a_decorated_function_returns_the_value() -> None:
    """Its text is read, validated, and asked for again with what was wrong."""
    told = []

    @guarded(schema=int, log=None)
    def age(who: str, client: object = None, feedback: str | None = None) -> str:
        told.append(feedback)
        return "36" if feedback else "old"

    assert age("Ada", client=object()) == 36
    assert told[0] is None
    assert "old" in told[1] or "JSON" in told[1]
    assert age.__name__ == "age"


def test_a_decorated_async_function_is_awaited() -> None:
    """The same names with await."""

    @guarded(schema=int, log=None, fallback=[constant(0)])
    async def age(who: str) -> str:
        await asyncio.sleep(0)
        return "36" if who == "Ada" else "?"

    async def main() -> list[int]:
        return [await age("Ada"), await age("Bob"), (await age.arun("Ada")).value]

    assert asyncio.run(main()) == [36, 0, 36]
    assert age.run("Ada").value == 36


def test_a_decorated_function_that_returns_no_text_says_so() -> None:
    """A dict is not what a guard reads."""

    @guarded(schema=int, log=None)
    def age(who: str) -> str:
        return {"age": 36}  # type: ignore[return-value]

    assert "returned dict; a guarded function returns the model's text" in age.run("Ada").attempts[0].message


def test_concurrent_decorated_calls_keep_their_arguments_apart() -> None:
    """Each task has its own."""

    @guarded(schema=int, log=None)
    async def echo(number: int) -> str:
        await asyncio.sleep(0.01)
        return str(number)

    async def main() -> list[int]:
        return await asyncio.gather(*(echo(number) for number in range(20)))

    assert asyncio.run(main()) == list(range(20))


def test_models_on_a_decorated_function_are_refused() -> None:
    """The function is the model."""
    with pytest.raises(UsageError, match="the decorated function is the model"):
        guarded(schema=int, models=["gpt-5-mini"])


# ------------------------------------------------------------------------------------------------- resume


def test_an_interrupted_call_is_finished_without_paying_twice(tmp_path: Path) -> None:
    """What was answered before Ctrl-C comes from the record."""
    url = f"sqlite:///{tmp_path}/log.db"

    def interrupts(request: object) -> str:
        raise KeyboardInterrupt

    first = ScriptedModel(["not a number", interrupts])
    with pytest.raises(KeyboardInterrupt):
        Guard("test", prompt="p {{ it }}", schema=int, models=[first], log=url).run(it="x")
    second = ScriptedModel(["36"])
    made = Guard("test", prompt="p {{ it }}", schema=int, models=[second], log=url)
    (row,) = made.log.find()
    assert row.status == "interrupted"
    outcome = made.resume(row.id)
    assert (outcome.status, outcome.value, outcome.id) == ("recovered", 36, row.id)
    assert [attempt.failure for attempt in outcome.attempts] == ["unparsable", None]
    assert made.resume(row.id).value == 36
    assert len(second.requests) == 1


def test_a_call_that_is_not_there_cannot_be_resumed() -> None:
    """Nor another guard's."""
    with pytest.raises(LogError, match="no call 'nothing'"):
        guard(int, "1").resume("nothing")


def test_no_warning_is_raised_by_ordinary_use(tmp_path: Path) -> None:
    """A guard is built, run and left without noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guard(json.loads('{"type": "integer"}'), "1", log=f"sqlite:///{tmp_path}/log.db").run(it="x")
