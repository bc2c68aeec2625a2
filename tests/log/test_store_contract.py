"""Any store of outcomes: what each must do, and a guard that logs to one that llmguard does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from llmguard import Guard, LogError, OutcomeLog, SelfConsistency, UsageError, certified, last_good
from llmguard.certification import sequential_testing
from llmguard.certification.certificate import Audited, Certificate
from llmguard.core.messages import ModelFailure, ModelRequest
from llmguard.log import MemoryLog, OutcomeStore
from llmguard.log.protocol import MEMBERS
from llmguard.models.function import FunctionModel
from llmguard.testing import ScriptedModel, assert_store_contract
from tests.support.jsonl_store import JsonLinesStore

NUMBER = {"type": "integer", "minimum": 0}


def makers(folder: Path) -> dict[str, tuple[Callable[[], OutcomeStore], Callable[[Any], OutcomeStore] | None]]:
    """For each kind of store, what makes an empty one, and what opens a closed one again."""
    numbers = count()
    return {
        "sqlite": (
            lambda: OutcomeLog.open(f"sqlite:///{folder}/{next(numbers)}.db"),
            lambda store: OutcomeLog.open(store.url),
        ),
        "memory": (MemoryLog, None),
        "jsonl": (
            lambda: JsonLinesStore(folder / f"{next(numbers)}.jsonl"),
            lambda store: JsonLinesStore(store.path),
        ),
    }


@pytest.mark.parametrize("kind", ["sqlite", "memory", "jsonl"])
def test_a_store_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    """The two that ship, and one that a user might write."""
    make_store, reopen = makers(tmp_path)[kind]
    assert_store_contract(make_store, reopen=reopen)


@pytest.fixture
def store(tmp_path: Path) -> JsonLinesStore:
    return JsonLinesStore(tmp_path / "calls.jsonl")


def test_a_guard_runs_on_a_store_of_its_users(store: JsonLinesStore) -> None:
    """Calls, reviews, feedback and queries; another process reads the same."""
    guard = Guard("number", prompt="{{ q }}", schema=NUMBER, models=[ScriptedModel(["7", "-1", "8"])], log=store)
    first, second = guard.run(q="a"), asyncio.run(guard.arun(q="b", meta={"user": "ada"}))
    store.review(first.id, "wrong", correction=6, reviewer="ada", blind=True)
    store.feedback(second.id, "useful", True, 1.0)
    again = JsonLinesStore(store.path)
    assert [(row.id, row.status, row.value, row.review) for row in again.find(guard="number", newest_first=False)] == [
        (first.id, "accepted", 7, "wrong"),
        (second.id, "recovered", 8, ""),
    ]
    assert [row.id for row in again.find(meta={"user": "ada"}, where="rule=minimum")] == [second.id]
    assert [len(record.steps) for record in again.records()] == [1, 2]
    assert again.reviews_of(first.id)[0].correction == (6,)
    assert again.explain(guard.fingerprint)["name"] == "number"


def test_the_last_good_value_comes_from_it(store: JsonLinesStore) -> None:
    """A model that fails later is answered for by the store."""
    model = ScriptedModel(["7", ModelFailure("auth", "the key was refused")])
    guard = Guard("number", prompt="{{ q }}", schema=NUMBER, models=[model], fallback=[last_good(60)], log=store)
    assert [(outcome.status, outcome.value) for outcome in (guard.run(q="a"), guard.run(q="a"))] == [
        ("accepted", 7),
        ("fallback", 7),
    ]


def test_a_call_that_was_interrupted_is_resumed_from_it(store: JsonLinesStore) -> None:
    """Under its own id, and without asking again for what was answered."""
    replies = iter(["-1"])

    def model(request: ModelRequest) -> str:
        for reply in replies:
            return reply
        raise KeyboardInterrupt

    options: dict[str, Any] = {"prompt": "{{ q }}", "schema": NUMBER, "log": store}
    with pytest.raises(KeyboardInterrupt):
        Guard("number", models=[FunctionModel(model)], **options).run(q="a")
    (row,) = store.find(status="interrupted")
    replies = iter(["8"])
    outcome = Guard("number", models=[FunctionModel(model)], **options).resume(row.id)
    assert (outcome.id, outcome.status, outcome.value) == (row.id, "recovered", 8)
    assert [step.address for step in store.get(row.id).steps] == ["r0/s0/a1/t1", "r0/s0/a2/t1"]


def test_its_certificates_decide_what_is_accepted(store: JsonLinesStore) -> None:
    """None covers a value, then one does, then drift suspends it; audits are drawn from the store."""
    guard = Guard(
        "number",
        prompt="{{ q }}",
        schema=NUMBER,
        models=[ScriptedModel(["7"], repeat=True)],
        consistency=SelfConsistency(),
        accept=certified(0.05),
        audit=1.0,
        log=store,
    )
    outcome = guard.run(q="a")
    assert (outcome.status, outcome.certificate) == ("rejected", None)
    store.review(outcome.id, "right", reviewer="ada", blind=True)
    (audit,) = store.audited("number", guard.policy.certified)
    assert (audit.call_id, audit.review.verdict) == (outcome.id, "right")
    certificate = certificate_of(guard)
    store.save_certificate(certificate, 1.0)
    outcome = guard.run(q="a")
    assert (outcome.status, outcome.certificate) == ("accepted", certificate.id)
    store.suspend(certificate.id, 2.0)
    assert guard.run(q="a").status == "rejected"


def certificate_of(guard: Guard[Any]) -> Certificate:
    """Of the guard's loosest plan."""
    policy = str(guard.policy.accept.plans[-1])
    row = sequential_testing.Tested(
        policy=policy, accepted=300, wrong=0, coverage=0.9, evidence=0.001, bound=0.01, result="certified"
    )
    return Certificate(
        alpha=0.05,
        delta=0.05,
        method="exact",
        policy=policy,
        table=(row,),
        audited=Audited(drawn=300, undone=0, kept=300, left_out=0),
        guard=guard.name,
        fingerprint=guard.policy.accept.certificate_key(guard.policy.certified),
        issued_at=1.0,
    )


def test_an_incomplete_store_is_refused_when_the_guard_is_built() -> None:
    """With what is missing, and what supplies it."""

    class Half:
        """As much as a session needs."""

        def __init__(self) -> None:
            self.inner = MemoryLog()

        def __getattr__(self, name: str) -> object:
            if name in {"certificates", "suspend"}:
                raise AttributeError(name)
            return getattr(self.inner, name)

    with pytest.raises(UsageError) as raised:
        Guard("number", prompt="{{ q }}", schema=NUMBER, models=[ScriptedModel(["7"])], log=Half())  # type: ignore[arg-type]
    assert str(raised.value) == (
        "log= of guard 'number': expected a database URL, an OutcomeStore or None, got Half, which lacks certificates,"
        " suspend. Derive it from BaseStore or ScanningStore of llmguard.log, which supply most members, and test it with"
        " llmguard.testing.assert_store_contract."
    )


def test_a_wrapper_that_hands_everything_on_is_a_store() -> None:
    """Though it defines no member itself."""

    class Wrapper:
        def __init__(self, inner: OutcomeStore) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    log: Any = Wrapper(MemoryLog())
    guard = Guard("number", prompt="{{ q }}", schema=NUMBER, models=[ScriptedModel(["7"])], log=log)
    assert log.get(guard.run(q="a").id).outcome.json == 7


def test_the_contract_names_what_a_store_does_wrong() -> None:
    """Each with what was expected and what came, and missing members before all others."""

    class Forgetful(MemoryLog):
        """Loses reviews, and calls an unknown certificate suspended."""

        def _save_reviews(self, reviews: Any) -> None:
            return

        def suspend(self, certificate_id: str, at: float) -> bool:
            return True

    with pytest.raises(AssertionError) as raised:
        assert_store_contract(Forgetful)
    message = str(raised.value)
    assert message.startswith("Forgetful breaks the contract of a store:\n")
    assert "suspend: an unknown certificate: expected False, got True" in message
    assert "reviews_of: oldest first: expected [Review(" in message
    with pytest.raises(AssertionError, match="object breaks the contract of a store:\n  no url, secret, flush"):
        assert_store_contract(object)  # type: ignore[arg-type]


def test_every_member_of_the_protocol_has_a_sentence() -> None:
    """Whoever writes a store reads what each must guarantee."""
    assert [name for name in MEMBERS if not getattr(OutcomeStore, name).__doc__] == []


def test_errors_of_a_store_name_it(store: JsonLinesStore) -> None:
    """So that people find the file."""
    with pytest.raises(LogError, match=r"calls\.jsonl"):
        store.review("none", "right")
