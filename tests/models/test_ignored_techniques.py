"""A server that takes `response_format` and ignores it: told in words, once in the re-ask, then from the start."""

from __future__ import annotations

from typing import Any

import pytest

from llmguard import Guard, OpenAIModel, SelfConsistency, certified
from llmguard.log import MemoryLog
from llmguard.models.openai.ignored_techniques import TechniqueEvidence, has_form
from llmguard.models.openai.strict_schema import build_server_schema
from tests.schema.test_providers import an_object
from tests.support.asking import form
from tests.support.fault_server import FaultServer, Request, Script, answer, chat

pytestmark = pytest.mark.loopback
RIVER = an_object(river={"type": "string"}, length_km={"type": "integer"})
RIGHT = '{"river": "Elbe", "length_km": 1094}'


def unaware(otherwise: str) -> Script:
    """Answers right where the words name the members, as a model whose server drops the schema."""
    return answer(200, lambda request: chat(RIGHT if "length_km" in str(request.body["messages"]) else otherwise))


def asked(script: Script, *, calls: int = 4, model: Any = None, **options: Any) -> tuple[list[Request], list[Any]]:
    with FaultServer([script]) as server:
        own = OpenAIModel("m", **{"base_url": server.base_url, "api_key": "key", **(model or {})})
        guard = Guard("river", prompt="How long?", schema=RIVER, models=[own], **{"log": None, "audit": 0, **options})
        outcomes = [guard.run() for _ in range(calls)]
        return list(server.requests), outcomes


def in_words(request: Request) -> bool:
    return "length_km" in str(request.body["messages"])


@pytest.mark.parametrize("otherwise", ["The Elbe is 1,094 km long.", '{"name": "Elbe", "length": 1094}', '["Elbe"]'])
def test_an_ignored_technique_is_given_up_for_words(otherwise: str) -> None:
    """Prose, other members, another type: the re-ask says the form; after two such replies the first request does."""
    requests, outcomes = asked(unaware(otherwise))
    assert [outcome.has_value for outcome in outcomes] == [True] * 4
    assert [in_words(each) for each in requests] == [False, True, False, True, True, True]
    assert ["response_format" in each.body for each in requests] == [True] * 3 + [False] * 3


def test_a_technique_that_worked_once_is_kept() -> None:
    """Later slips are the model's own: the re-ask says the form, and the next call is as before."""
    replies = [answer(200, chat(RIGHT)), *[answer(200, chat("I forgot.")), answer(200, chat(RIGHT))] * 3]
    with FaultServer(replies) as server:
        own = OpenAIModel("m", base_url=server.base_url, api_key="key")
        guard = Guard("river", prompt="How long?", schema=RIVER, models=[own], log=None, audit=0)
        assert [guard.run().has_value for _ in range(4)] == [True] * 4
        assert all("response_format" in each.body for each in server.requests)
        assert [in_words(each) for each in server.requests] == [False, *[False, True] * 3]


def test_a_chosen_technique_is_kept() -> None:
    """Who names a technique gets it; the re-ask still says the form in words."""
    requests, _ = asked(unaware("Prose."), model={"output": "json_schema"})
    assert all("response_format" in each.body for each in requests)


def test_a_certified_guard_asks_in_one_way() -> None:
    """Words that were learned would make it another guard than the one that was certified."""
    votes = SelfConsistency(n_max=5)
    requests, _ = asked(unaware("Prose."), consistency=votes, accept=certified(0.1), log=MemoryLog(), audit=1.0)
    assert len(requests) > 4
    assert all("response_format" in each.body and not in_words(each) for each in requests)


@pytest.mark.parametrize(
    ("text", "has"),
    [
        (RIGHT, True),
        (f"```json\n{RIGHT}\n```", True),
        (f"<think>a {{river}}</think>{RIGHT}", True),
        (f"Here is the JSON:\n{RIGHT}\nAnything else?", True),
        ('{"river": "Elbe"}', False),
        ('{"river": "Elbe", "length_km": 1, "more": 2}', False),
        ("The Elbe", False),
        ("[1]", False),
        ("{" * 50_000, False),
    ],
)
def test_the_form_of_a_reply_is_its_members(text: str, has: bool) -> None:
    """Right members say that the model was told the schema, whatever stands around them."""
    assert has_form(text, build_server_schema(form(RIVER))) is has


@pytest.mark.parametrize(
    ("schema", "text", "has"),
    [
        ({"type": "integer"}, '{"value": 3}', True),
        ({"type": "integer"}, "3", True),
        ({"type": "integer"}, "three of them", False),
        ({"enum": ["a", "b"]}, "a", True),
        ({"enum": ["a", "b"]}, "neither", False),
        ({"type": "string"}, "any text", True),
        ({"type": "array", "items": {"type": "integer"}}, "[1]", True),
    ],
)
def test_a_wrapped_value_may_come_alone(schema: Any, text: str, has: bool) -> None:
    """Wrapped or not, its type counts; a bare text is a text, and a bare member one of an enum."""
    assert has_form(text, build_server_schema(form(schema))) is has


def test_two_replies_settle_it_and_one_right_one_for_good() -> None:
    """Each technique has evidence of its own."""
    evidence, schema = TechniqueEvidence(), build_server_schema(form(RIVER))
    evidence.add("json_schema", "no", schema)
    assert not evidence.is_ignored("json_schema")
    evidence.add("json_schema", "no", schema)
    assert (evidence.is_ignored("json_schema"), evidence.is_ignored("tool")) == (True, False)
    evidence.add("tool", RIGHT, schema)
    for _ in range(3):
        evidence.add("tool", "no", schema)
    assert not evidence.is_ignored("tool")
