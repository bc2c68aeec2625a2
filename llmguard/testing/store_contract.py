"""What a guard relies on in a store of outcomes, as an assertion for the tests of any store."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from llmguard.certification import sequential_testing
from llmguard.certification.certificate import Audited, Certificate
from llmguard.core.canonical import Json, digest
from llmguard.core.errors import LLMGuardError, LogError, UsageError
from llmguard.core.messages import ModelReply, Usage
from llmguard.core.outcome import Attempt, Outcome, Status, Violation
from llmguard.core.record import CallStart, Step
from llmguard.core.safe_text import safe
from llmguard.engine.policy import certified_part
from llmguard.log import OutcomeStore, Query
from llmguard.log.protocol import missing_store_members
from llmguard.log.reviews import ReviewInput

NOON = 1_700_000_000.0
"""When the calls of the contract begin, in seconds since the epoch; what is compared is only their order."""
MIN_SECRET_BYTES = 16
"""As many as a digest of ours has: fewer could be tried out, and whoever knows the secret knows the audits."""
THREADS, CALLS_PER_THREAD = 8, 5
"""Enough for calls of several threads to meet in the store, and done in a moment."""
ADDRESS = "r0/s0/a0/t0"
USAGE = Usage(input_tokens=10, output_tokens=4)
VALUE: Json = {"total": 3, "lines": [{"amount": 3}]}
DESCRIPTION: Json = {
    "schema": {"json_schema": {"type": "object"}, "python_type": None},
    "ladder": [{"model": "small"}],
    "prompt": "p1",
}

Breaches = Iterator[str]


def assert_store_contract(
    make_store: Callable[[], OutcomeStore], *, reopen: Callable[[OutcomeStore], OutcomeStore] | None = None
) -> None:
    """Assert that a store does what `OutcomeStore` says. Call it outside of an event loop.

    Args:
        make_store: makes an empty store, each time another one.
        reopen: opens a store that was closed, as another process would; None for a store without a place to keep things.

    Raises:
        AssertionError: the message lists everything that is wrong.

    >>> from llmguard.log import MemoryLog
    >>> assert_store_contract(MemoryLog)
    """
    __tracebackhide__ = True
    store = make_store()
    if missing := missing_store_members(store):
        breaches = [f"no {', '.join(missing)}"]
    else:
        breaches = [breach for part in _PARTS for breach in _breaches_of(part, make_store())]
        breaches += _breaches_of(partial(_reopened, reopen=reopen), store) if reopen is not None else ()
    if breaches:
        lines = [f"{type(store).__name__} breaks the contract of a store:", *(f"  {each}" for each in breaches)]
        raise AssertionError(safe("\n".join(lines)))


def _breaches_of(part: Callable[[OutcomeStore], Breaches], store: OutcomeStore) -> Breaches:
    """Those of one part, up to where the store raises."""
    try:
        yield from part(store)
    except Exception as error:
        yield f"{_name_of(part)}: raised {type(error).__name__}: {error}"
    finally:
        with suppress(Exception):
            store.close()


def _name_of(part: Callable[[OutcomeStore], Breaches]) -> str:
    return getattr(part, "__name__", "reopen").strip("_")


def _compare(what: str, actual: object, expected: object) -> Breaches:
    if actual != expected:
        yield f"{what}: expected {expected!r:.200}, got {actual!r:.200}"


def _refuses(what: str, error: type[LLMGuardError], action: Callable[[], object]) -> Breaches:
    try:
        result = action()
    except error:
        return
    except Exception as other:
        yield f"{what}: expected a {error.__name__}, got {type(other).__name__}: {other}"
    else:
        yield f"{what}: expected a {error.__name__}, got {result!r:.200}"


# --- the calls that are put in


def _start(call_id: str, after_s: float = 0.0, *, guard: str = "invoice", meta: Json = None) -> CallStart:
    inputs = {"text": f"invoice {call_id}"}
    return CallStart(
        id=call_id,
        guard=guard,
        fingerprint="f1",
        inputs=inputs,
        inputs_digest=digest(inputs),
        meta=meta or {},
        started_at=NOON + after_s,
    )


def _reply(text: str = '{"total": 3}', *, address: str = ADDRESS) -> Step:
    return Step(address, "d" * 32, ModelReply(text, model="small-1", usage=USAGE, raw=b'{"choices": []}'), 0.25)


def _outcome(call_id: str, status: Status = "accepted", *, value: Json = VALUE, reason: str = "") -> Outcome[Json]:
    has_value = status in ("accepted", "recovered", "fallback")
    attempt = Attempt(address=ADDRESS, rung="small", text='{"total": 3}', model="small-1", usage=USAGE)
    return Outcome(
        status=status,
        value=value if has_value else None,
        json=value if has_value else None,
        source="small" if has_value else "",
        violations=() if has_value else (Violation("/total", "minimum", "is too small"),),
        attempts=(attempt,),
        usage=USAGE,
        review_probability=0.5 if reason else 0.0,
        review_reason=reason,
        id=call_id,
        guard="invoice",
        fingerprint="f1",
    )


def _add(
    store: OutcomeStore, call_id: str, after_s: float = 0.0, status: Status = "accepted", *, value: Json = VALUE,
    guard: str = "invoice", meta: Json = None, reason: str = "",
) -> None:  # fmt: skip
    """A whole call that took half a second."""
    store.begin(_start(call_id, after_s, guard=guard, meta=meta))
    store.step(call_id, _reply())
    store.finish(call_id, _outcome(call_id, status, value=value, reason=reason), NOON + after_s + 0.5)


def _certificate(fingerprint: str = "c1", issued_at: float | None = NOON) -> Certificate:
    row = sequential_testing.Tested(
        policy="p", accepted=9, wrong=0, coverage=0.8, evidence=0.01, bound=0.02, result="certified"
    )
    return Certificate(
        alpha=0.02,
        delta=0.05,
        method="exact",
        policy="p",
        table=(row,),
        audited=Audited(drawn=9, undone=0, kept=9, left_out=0),
        guard="invoice",
        fingerprint=fingerprint,
        issued_at=issued_at,
    )


# --- the store itself


def _secret(store: OutcomeStore) -> Breaches:
    if not isinstance(store.secret, bytes) or len(store.secret) < MIN_SECRET_BYTES:
        yield f"secret: expected at least {MIN_SECRET_BYTES} bytes, got {type(store.secret).__name__}"
    yield from _compare("secret: a second read", store.secret, store.secret)
    if store.url is not None and not isinstance(store.url, str):
        yield f"url: expected a text or None, got {store.url!r}"
    yield from _compare("flush", store.flush(), True)


def _reopened(store: OutcomeStore, reopen: Callable[[OutcomeStore], OutcomeStore]) -> Breaches:
    store.guard("f1", "invoice", DESCRIPTION)
    _add(store, "1")
    store.review("1", "right", reviewer="ada", at=NOON)
    store.feedback("1", "useful", True, NOON)
    store.save_certificate(_certificate(), NOON)
    expected = [_state(store), store.secret]
    store.close()
    again = reopen(store)
    yield from _compare("a store that is opened again", [_state(again), again.secret], expected)
    again.close()


def _state(store: OutcomeStore) -> list[object]:
    calls = store.find(newest_first=False)
    of_calls = [(store.get(row.id), store.reviews_of(row.id), store.feedback_of(row.id)) for row in calls]
    return [calls, of_calls, store.explain("f1"), store.certificates("invoice")]


# --- calls


def _call(store: OutcomeStore) -> Breaches:
    store.begin(_start("1"))
    record = store.get("1")
    yield from _compare("get: a call that runs", record and (record.opening, record.outcome), (_start("1"), None))
    yield from _compare("find: the status of a call that runs", [row.status for row in store.find()], ["running"])
    yield from _compare("unfinished", [row.id for row in store.unfinished()], ["1"])
    store.step("1", _reply("first"))
    store.step("1", _reply("other", address="r0/s1/a0/t0"))
    store.step("1", _reply("second"))
    record = store.get("1")
    texts = (
        {step.address: step.answer.text for step in record.steps if isinstance(step.answer, ModelReply)}
        if record
        else {}
    )
    yield from _compare("step: answers by address", texts, {ADDRESS: "second", "r0/s1/a0/t0": "other"})
    store.finish("1", _outcome("1"), NOON + 0.5)
    record = store.get("1")
    outcome = record.outcome if record else None
    yield from _compare("get: status and value", outcome and (outcome.status, outcome.json), ("accepted", VALUE))
    yield from _compare("get: the outcome's value", outcome and outcome.value, VALUE)
    yield from _compare("unfinished: after the outcome", store.unfinished(), [])
    yield from _compare("mark_interrupted: no call of a dead process", store.mark_interrupted(), 0)


def _coroutine(store: OutcomeStore) -> Breaches:
    store.begin(_start("1"))
    asyncio.run(store.afinish("1", _outcome("1"), NOON + 0.5))
    yield from _compare("afinish", [(row.id, row.status) for row in store.find()], [("1", "accepted")])


def _resumed(store: OutcomeStore) -> Breaches:
    store.begin(_start("1"))
    store.step("1", _reply())
    store.finish("1", _outcome("1", "interrupted"), NOON + 0.5)
    store.begin(_start("1"))
    record = store.get("1")
    actual = record and (len(record.steps), record.outcome)
    yield from _compare("begin: an interrupted call that is resumed", actual, (1, None))
    _add(store, "2")
    store.begin(_start("2"))
    record = store.get("2")
    status = record and record.outcome and record.outcome.status
    yield from _compare("begin: a call that has an outcome", status, "accepted")


def _unknown(store: OutcomeStore) -> Breaches:
    yield from _compare("get: an unknown call", store.get("1"), None)
    yield from _compare("records_of: an unknown call", store.records_of(["1"]), [])
    yield from _compare("reviews_of: an unknown call", store.reviews_of("1"), [])
    yield from _compare("feedback_of: an unknown call", store.feedback_of("1"), [])
    yield from _compare("explain: an unknown fingerprint", store.explain("f1"), None)
    yield from _compare("last_good: an unknown guard", store.last_good("invoice", "d", 0.0), None)
    yield from _compare("suspend: an unknown certificate", store.suspend("c1", NOON), False)
    yield from _refuses("feedback: an unknown call", LogError, lambda: store.feedback("1", "useful", True, NOON))
    yield from _refuses("review: an unknown call", LogError, lambda: store.review("1", "right"))


def _queries(store: OutcomeStore) -> Breaches:
    _add(store, "1", 0.0, meta={"user": 42})
    _add(store, "2", 1.0, "rejected")
    _add(store, "3", 2.0, "fallback")
    _add(store, "4", 2.0, guard="other")
    store.begin(_start("5", 3.0))
    queries = {
        "54321": Query(),
        "5321": Query(guard="invoice"),
        "432": Query(since=NOON + 1.0, until=NOON + 3.0),
        "43": Query(finished_since=NOON + 2.5),
        "2": Query(status="rejected"),
        "52": Query(status=("rejected", "running")),
        "1": Query(meta={"user": "42"}),
        "3": Query(where="source=small and status=fallback"),
        "42": Query(where="requests=1 and tokens>=14", since=NOON + 1.0, status=("accepted", "rejected")),
    }
    for ids, query in queries.items():
        yield from _compare(f"find({query})", "".join(row.id for row in store.find(query)), ids)
        oldest_first = "".join(row.id for row in store.find(query, newest_first=False))
        yield from _compare(f"find({query}, newest_first=False)", oldest_first, ids[::-1])
        yield from _compare(f"records({query})", "".join(each.opening.id for each in store.records(query)), ids[::-1])
        counts = sum(stats.calls for stats in store.stats(query))
        yield from _compare(f"stats({query}): calls", counts, len(ids))
    by_keywords = [row.id for row in store.find(status="rejected", limit=1)]
    yield from _compare("find(status='rejected', limit=1)", by_keywords, ["2"])
    yield from _compare("find(limit=2)", [row.id for row in store.find(limit=2)], ["5", "4"])
    yield from _refuses("find: a condition that cannot be asked", UsageError, lambda: store.find(where="colour=red"))
    yield from _refuses("records: the same, before the first", UsageError, lambda: store.records(where="colour=red"))


def _pages(store: OutcomeStore) -> Breaches:
    for number in range(5):
        _add(store, f"a{number}", number // 2)  # two start at the same moment: the id decides
    page = store.positions(limit=2)
    yield from _compare("positions: a page", [position.id for position in page], ["a0", "a1"])
    page = store.positions(after=page[-1], limit=2)
    yield from _compare("positions: the page after it", [position.id for position in page], ["a2", "a3"])
    records = [record.opening.id for record in store.records(after=page[-1])]
    yield from _compare("records(after=...)", records, ["a4"])
    records = [record.opening.id for record in store.records_of(["a3", "none", "a1"])]
    yield from _compare("records_of: in the order of the ids", records, ["a3", "a1"])
    yield from _compare("ids: a prefix", (store.ids("a", 2), store.ids("b")), (["a0", "a1"], []))


def _rows(store: OutcomeStore) -> Breaches:
    _add(store, "1", status="rejected", meta={"user": "u"})
    (row,) = store.find()
    actual = (
        row.guard,
        row.status,
        row.meta,
        row.rules,
        row.models,
        row.requests,
        row.usage.total_tokens,
        row.duration_s,
    )
    expected = ("invoice", "rejected", {"user": "u"}, ("minimum",), ("small-1",), 1, 14, 0.5)
    yield from _compare("find: what a row says", actual, expected)
    (stats,) = store.stats()
    uses = [(use.model, use.requests, use.usage.total_tokens) for use in stats.models]
    yield from _compare(
        "stats", (stats.guard, stats.statuses, uses), ("invoice", {"rejected": 1}, [("small-1", 1, 14)])
    )


def _good_values(store: OutcomeStore) -> Breaches:
    inputs_digest = _start("1").inputs_digest
    statuses: tuple[Status, ...] = ("accepted", "recovered", "fallback", "rejected")
    for number, status in enumerate(statuses):
        start = CallStart(**{**_fields(_start("1", number)), "id": str(number)})
        store.begin(start)
        store.finish(start.id, _outcome(start.id, status, value={"total": number}), start.started_at + 0.5)
    newest = {"value": {"total": 1}, "id": "1"}
    yield from _compare("last_good: the newest of a model", store.last_good("invoice", inputs_digest, 0.0), newest)
    yield from _compare("last_good: too old", store.last_good("invoice", inputs_digest, NOON + 1.5), None)
    yield from _compare("last_good: other inputs", store.last_good("invoice", "d", 0.0), None)
    yield from _compare("last_good: another guard", store.last_good("other", inputs_digest, 0.0), None)
    store.last_good("invoice", inputs_digest, 0.0)["value"].clear()
    yield from _compare(
        "last_good: after its value was changed", store.last_good("invoice", inputs_digest, 0.0), newest
    )
    store.review("1", "wrong", at=NOON)
    before = {"value": {"total": 0}, "id": "0"}
    yield from _compare("last_good: reviewed as wrong", store.last_good("invoice", inputs_digest, 0.0), before)


def _fields(start: CallStart) -> dict[str, Json]:
    return {name: getattr(start, name) for name in CallStart.__slots__}


def _threads(store: OutcomeStore) -> Breaches:
    errors: list[Exception] = []

    def add(thread: int) -> None:
        try:
            for number in range(CALLS_PER_THREAD):
                _add(store, f"{thread}-{number}", number)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield from _compare("calls of several threads: errors", errors, [])
    statuses = Counter(row.status for row in store.find(limit=None))
    yield from _compare("calls of several threads", statuses, Counter(accepted=THREADS * CALLS_PER_THREAD))


# --- what people say


def _descriptions(store: OutcomeStore) -> Breaches:
    store.guard("f1", "invoice", DESCRIPTION)
    store.guard("f1", "invoice", DESCRIPTION)
    yield from _compare("explain", store.explain("f1"), {"name": "invoice", "description": DESCRIPTION})


def _feedback(store: OutcomeStore) -> Breaches:
    _add(store, "1")
    store.feedback("1", "useful", False, NOON + 1.0)
    store.feedback("1", "useful", True, NOON)
    expected = [{"key": "useful", "value": value, "at": NOON + at} for at, value in ((0.0, True), (1.0, False))]
    yield from _compare("feedback_of: oldest first", store.feedback_of("1"), expected)


def _reviews(store: OutcomeStore) -> Breaches:
    store.guard("f1", "invoice", DESCRIPTION)
    _add(store, "1")
    later = store.review("1", "right", reviewer="ada", at=NOON + 1.0)
    first = store.review("1", "wrong", correction={"total": 4}, fields={"/total": "wrong"}, at=NOON)
    yield from _compare("reviews_of: oldest first", store.reviews_of("1"), [first, later])
    yield from _compare("find: the newest verdict", [row.review for row in store.find(where="review=right")], ["right"])
    yield from _compare(
        "add_reviews: known ones", (store.add_reviews([first, later]), len(store.reviews_of("1"))), (0, 2)
    )
    other = store.checked_review("1", ReviewInput("right", reviewer="bob"), NOON + 2.0)
    yield from _compare("checked_review: writes nothing", len(store.reviews_of("1")), 2)
    yield from _compare("add_reviews: a new one", (store.add_reviews([other]), store.reviews_of("1")[-1]), (1, other))
    yield from _refuses("review: an invalid verdict", UsageError, lambda: store.review("1", "maybe"))
    yield from _refuses("review: a misfit", UsageError, lambda: store.review("1", "wrong", correction="text"))


def _audits(store: OutcomeStore) -> Breaches:
    store.guard("f1", "invoice", DESCRIPTION)
    certified = certified_part(DESCRIPTION)
    _add(store, "1", 0.0, reason="audit")
    _add(store, "2", 1.0, reason="audit")
    _add(store, "3", 2.0)
    for call_id in "23":
        store.review(call_id, "right", at=NOON + 9.0)
    audits = store.audited("invoice", certified)
    actual = [(audit.call_id, audit.review and audit.review.verdict) for audit in audits]
    yield from _compare("audited: with the newest review", actual, [("1", None), ("2", "right")])
    since = [audit.call_id for audit in store.audited("invoice", certified, since=NOON + 0.5)]
    yield from _compare("audited(since=...)", since, ["2"])
    yield from _compare("audited: another version", store.audited("invoice", "other"), [])
    reviewed = [[audit.call_id for audit in store.reviewed("invoice", part)] for part in (certified, None)]
    yield from _compare("reviewed: of a version, of any", reviewed, [["2", "3"]] * 2)


def _certificates(store: OutcomeStore) -> Breaches:
    old, new, other = _certificate(), _certificate(issued_at=NOON + 1.0), _certificate("c2", NOON + 2.0)
    for certificate in (new, old, other, old):
        store.save_certificate(certificate, NOON)
    stored = [each.certificate for each in store.certificates("invoice")]
    yield from _compare("certificates: the newest first", stored, [other, new, old])
    stored = [each.certificate for each in store.certificates("invoice", "c1")]
    yield from _compare("certificates: of one fingerprint", stored, [new, old])
    results = [store.suspend(old.id, NOON + at) for at in (5.0, 6.0)]
    store.save_certificate(old, NOON)
    yield from _compare("suspend: once", results, [True, False])
    suspended = [each.suspended_at for each in store.certificates("invoice")]
    yield from _compare("certificates: suspended since", suspended, [None, None, NOON + 5.0])


_PARTS: tuple[Callable[[OutcomeStore], Breaches], ...] = (
    *(_secret, _call, _coroutine, _resumed, _unknown, _queries, _pages, _rows, _good_values, _threads),
    *(_descriptions, _feedback, _reviews, _audits, _certificates),
)
