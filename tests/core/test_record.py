"""What is kept of a call comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.canonical import Json, decode, encode
from llmguard.core.effects import Crashed, Returned
from llmguard.core.errors import LogError
from llmguard.core.messages import ModelFailure, ModelReply, Usage
from llmguard.core.outcome import Alternative, Attempt, Outcome, Repair, Violation
from llmguard.core.record import (
    RAW_LIMIT,
    CallStart,
    Record,
    Step,
    answer_from_json,
    answer_to_json,
    decode_answer,
    decode_outcome,
    encode_answer,
    encode_outcome,
    interrupted,
    raw_of,
    record_from_json,
    record_to_json,
    with_texts,
)

TEXTS = st.text(max_size=20) | st.just("\udfff") | st.just("\x00")
USAGE = st.builds(Usage, input_tokens=st.integers(0, 9), output_tokens=st.integers(0, 9), estimated=st.booleans())
JSON = (
    st.none() | st.integers() | TEXTS | st.lists(st.integers(), max_size=2) | st.dictionaries(TEXTS, TEXTS, max_size=2)
)
ANSWERS = (
    st.builds(
        ModelReply,
        TEXTS,
        finish_reason=st.sampled_from(["stop", "length", "content_filter"]),
        model=TEXTS,
        usage=USAGE,
        cost_usd=st.none() | st.floats(0, 1),
        logprobs=st.lists(st.tuples(TEXTS, st.floats(max_value=0, allow_infinity=False)), max_size=3).map(tuple),
    )
    | st.builds(
        ModelFailure,
        st.sampled_from(["timeout", "auth", "deadline"]),
        TEXTS,
        status=st.none() | st.integers(100, 599),
        retry_after_s=st.none() | st.floats(0, 9),
        downgraded=st.booleans(),
        sent=st.booleans(),
        usage=USAGE,
    )
    | st.builds(Returned, JSON)
    | st.builds(Crashed, st.sampled_from(["crashed", "timeout", "deadline"]), TEXTS)
)
VIOLATIONS = st.builds(Violation, TEXTS, TEXTS, TEXTS, JSON, JSON, st.sampled_from(["reject", "flag"]))
REPAIRS = st.builds(Repair, TEXTS, JSON, JSON, st.sampled_from(["lossless", "lossy"]), TEXTS)
ATTEMPTS = st.builds(
    Attempt,
    address=TEXTS,
    rung=TEXTS,
    failure=st.none() | st.just("schema"),
    violations=st.lists(VIOLATIONS, max_size=2).map(tuple),
    repairs=st.lists(REPAIRS, max_size=2).map(tuple),
    usage=USAGE,
)


@given(ANSWERS)
def test_every_answer_comes_back_as_it_was(answer) -> None:
    """Through its encoded form, whatever the text holds."""
    assert decode_answer(encode_answer(answer)) == answer


@given(
    JSON,
    st.lists(VIOLATIONS, max_size=2).map(tuple),
    st.lists(REPAIRS, max_size=2).map(tuple),
    st.lists(ATTEMPTS, max_size=2).map(tuple),
    USAGE,
)
def test_every_outcome_comes_back_as_it_was(json, violations, repairs, attempts, usage) -> None:
    """Violations, repairs and attempts included."""
    outcome = Outcome(
        status="recovered",
        value=json,
        json=json,
        source="m",
        violations=violations,
        flags=violations,
        repairs=repairs,
        attempts=attempts,
        usage=usage,
        alternatives=(Alternative(json, 2),),
        skipped_checks=("c",),
        review_probability=0.5,
        id="x",
        guard="g",
    )
    again = decode_outcome(encode_outcome(outcome))
    assert again == outcome
    assert (again.id, again.guard) == ("x", "g")


@given(st.lists(ANSWERS, max_size=3), JSON)
def test_a_whole_record_comes_back_as_it_was(answers, inputs) -> None:
    """Opening, steps and outcome, as one JSON value."""
    opening = CallStart(
        id="x", guard="g", fingerprint="f", inputs=inputs, inputs_digest="d", meta={"user": "u"}, started_at=1.5
    )
    steps = tuple(Step(f"r{number}", "d", answer, 0.5) for number, answer in enumerate(answers))
    record = Record(opening, steps, interrupted(steps))
    again = record_from_json(decode(encode(record_to_json(record))))
    assert Record(again.opening, again.steps, with_texts(again.outcome, again.steps)) == record


def test_a_record_says_its_version_and_is_sealed() -> None:
    """The hash is tagged, and another record has another."""
    opening = CallStart(id="x", guard="g", fingerprint="f", inputs=1, inputs_digest="d", meta={}, started_at=1.0)
    one, other = record_to_json(Record(opening, ())), record_to_json(Record(opening, (Step("r0", "d", Returned(1)),)))
    assert one["version"] == 1
    assert one["hash"].startswith("blake2b-128:")
    assert one["hash"] != other["hash"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "a record has version 2, and this llmguard reads version 1"),
        ({"version": "1"}, "a record has version '1'"),
        ({"version": True}, "a record has version True"),
        ({"hash": "blake2b-128:0"}, "a record has hash 'blake2b-128:0', and its content has 'blake2b-128:"),
        ({"steps": []}, "it was changed after it was written"),
        ({"added": 1}, "it was changed after it was written"),
    ],
)
def test_a_later_version_and_a_changed_record_are_refused(change: dict[str, Json], message: str) -> None:
    """With one sentence that says what was found and what was expected."""
    opening = CallStart(id="x", guard="g", fingerprint="f", inputs=1, inputs_digest="d", meta={}, started_at=1.0)
    written = record_to_json(Record(opening, (Step("r0", "d", Returned(1)),)))
    assert record_from_json(written).opening == opening
    with pytest.raises(LogError) as raised:
        record_from_json({**written, **change})
    assert message in str(raised.value)


@pytest.mark.parametrize("member", ["version", "hash"])
def test_a_record_without_version_or_hash_is_refused(member: str) -> None:
    """Nothing says what it is, or whether it is whole."""
    opening = CallStart(id="x", guard="g", fingerprint="f", inputs=1, inputs_digest="d", meta={}, started_at=1.0)
    written = record_to_json(Record(opening, ()))
    with pytest.raises(LogError):
        record_from_json({name: item for name, item in written.items() if name != member})


def test_latency_is_kept() -> None:
    """Though it takes no part in equality."""
    assert answer_from_json(answer_to_json(ModelReply("x", latency_s=1.5))).latency_s == 1.5


def test_the_raw_reply_is_evidence_with_its_hash() -> None:
    """Beside the answer, not in it; nothing where nothing was received."""
    body = b'{"choices": []}'
    raw, hashed = raw_of(ModelReply("x", raw=body))
    assert raw == body
    assert hashed.startswith("sha256:")
    assert "raw" not in answer_to_json(ModelReply("x", raw=body))
    assert raw_of(Returned(1)) == (b"", "")


def test_of_a_reply_that_was_too_large_the_beginning_is_kept() -> None:
    """With the hash of all that was received."""
    body = b"x" * (RAW_LIMIT + 1)
    raw, hashed = raw_of(ModelFailure("malformed", "too_large", raw=body))
    assert len(raw) == RAW_LIMIT
    assert hashed == raw_of(ModelReply("x", raw=body))[1]


@pytest.mark.parametrize("encoded", [encode_answer(ModelReply("key sk-proj-" + "a1B2" * 10))])
def test_no_secret_is_encoded(encoded: bytes) -> None:
    """What a model repeats of a key does not enter the record."""
    assert b"a1B2a1B2" not in encoded
    assert isinstance(decode_answer(encoded), ModelReply)


def test_tokens_come_back_as_tuples() -> None:
    """With the very floats; of a reply that holds a secret none are kept, for joined they would spell it."""
    tokens = (('{"a": ', 0.0), ("é🙂", -0.1 - 0.2), ("}", -1e300))
    again = decode_answer(encode_answer(ModelReply('{"a": é🙂}', logprobs=tokens)))
    assert again.logprobs == tokens
    assert [type(token) for token in again.logprobs] == [tuple] * 3
    pieces = tuple((letter, -0.5) for letter in "key sk-proj-" + "a1B2" * 10)
    secret = encode_answer(ModelReply("".join(letter for letter, _ in pieces), logprobs=pieces))
    assert b"logprobs" not in secret


def test_an_interrupted_call_lists_what_was_paid() -> None:
    """Replies and failures, with their tokens; no verdict on them."""
    reply = ModelReply("hello", usage=Usage(input_tokens=3, output_tokens=4))
    outcome = interrupted([Step("r0/s0/a1/t1", "d", ModelFailure("timeout")), Step("r0/s0/a1/t2", "d", reply)])
    assert (outcome.status, outcome.has_value) == ("interrupted", False)
    assert [attempt.failure for attempt in outcome.attempts] == ["timeout", "stopped"]
    assert outcome.usage.total_tokens == 7
