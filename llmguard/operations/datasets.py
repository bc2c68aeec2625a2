"""Recorded calls as rows to fine-tune or evaluate a model with: the messages that were sent, and the right answer.

A row has nothing but what is known. The messages of a call are not in the log: they are rendered again from the prompt,
and used if their request has the digest of the request that was sent. The answer is the value that a model gave and that
passed, or a reviewer's correction. Calls that give no row are counted by their reason.

    sft     {"messages": [..., {"role": "assistant", "content": "<the answer>"}]}
    dpo     {"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}
    evals   {"id": ..., "input": [...], "ideal": "<the answer>", "metadata": {...}}

The first two are OpenAI's formats for supervised and for preference fine-tuning, the third is that of the samples of
OpenAI's open evals (`Match`, `Includes`, `JsonMatch`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from llmguard.core.canonical import Json, decode_plain, digest, digest_bytes, encode
from llmguard.core.effects import request_digest
from llmguard.core.errors import UsageError
from llmguard.core.messages import Message, ModelFailure, ModelReply, ModelRequest, ResponseFormat, Sampling
from llmguard.core.outcome import Outcome
from llmguard.core.record import Record, Step
from llmguard.engine.budget import Budget, BudgetTracker
from llmguard.log import Review
from llmguard.prompts import MAX_PROMPT_CHARACTERS
from llmguard.prompts.template import compile_template

Format: TypeAlias = Literal["sft", "dpo", "evals"]
Side: TypeAlias = Literal["train", "validation"]
Render: TypeAlias = Callable[[Mapping[str, Json]], tuple[Message, ...]]
LeftOut: TypeAlias = Literal[
    "not finished",
    "no answer to learn from",
    "reviewed wrong, without a correction",
    "reviewed unsure",
    "no request in the log",
    "the guard is not in the log",
    "the prompt cannot be rendered",
    "not the request that was sent",
    "not plain text",
    "no rejected attempt",
    "redacted",
    "duplicate",
]
"""Why a call gives no row."""

REJECTED: Final = frozenset({"unparsable", "ambiguous", "schema", "check"})
"""Failures of replies that the model preferred; a truncated reply depends on the limit instead."""

_FIRST_REQUEST = re.compile(r"r(\d{1,4})/s(\d{1,6})/a1/t\d+h?\Z")
"""Addresses of requests with the unchanged prompt. A judge's requests have the name of its check in addition."""
_REDACTED = b"[redacted:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The value that the model should have given. `corrected`: a reviewer's correction."""

    value: Json
    corrected: bool = False

    @property
    def text(self) -> str:
        """As compact JSON."""
        return encode(self.value).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One call to learn from. `rejected`: replies to the same messages that did not pass."""

    id: str
    guard: str
    fingerprint: str
    inputs: Json
    messages: tuple[Message, ...]
    answer: Answer
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """One line of a dataset, the id of its outcome, and its side of the split."""

    id: str
    side: Side
    data: dict[str, Json]


# ------------------------------------------------------------------------------------------------- what was right


def answer_of(outcome: Outcome[Json], reviews: Sequence[Review] = ()) -> Answer | LeftOut:
    """The right answer of a call, or why it is not known. `reviews`: the oldest first; the newest counts.

    >>> answer_of(Outcome(status="accepted", json={"total": 7}))
    Answer(value={'total': 7}, corrected=False)
    >>> answer_of(Outcome(status="fallback", json={"total": 7}))
    'no answer to learn from'
    """
    newest = reviews[-1] if reviews else None
    if newest is not None and newest.correction:
        return Answer(value=newest.correction[0], corrected=True)
    if newest is not None and newest.verdict == "wrong":
        return "reviewed wrong, without a correction"
    if newest is not None and newest.verdict == "unsure":
        return "reviewed unsure"
    if (
        newest is not None and outcome.candidate
    ):  # the review is about the candidate, whichever rung answered in the end
        return Answer(value=outcome.candidate[0])
    if outcome.is_from_model or (newest is not None and outcome.has_value):
        return Answer(value=outcome.json)
    return "no answer to learn from"


# ------------------------------------------------------------------------------------------------- what was sent


def stored_prompts(description: Json) -> list[Render]:
    """The prompts of a guard as the log describes it, including those of its rungs, but no functions: a log has only
    their names.

    Raises:
        UsageError: a stored template cannot be compiled, for example because a secret was redacted in it.
    """
    return [_compiled(each, description["name"]) for each in _prompts(description) if "template" in each]


def prompt_functions(description: Json) -> list[str]:
    """The names of the functions that make a guard's prompts, where these are not templates."""
    return [str(each["function"]) for each in _prompts(description) if "function" in each]


def _prompts(description: Json) -> list[Json]:
    rungs = [each for rung in description["ladder"] for each in (rung, *rung.get("variants", ()))]
    prompts = [description["prompt"], *(rung["prompt"] for rung in rungs if "prompt" in rung)]
    return list({digest(each): each for each in prompts}.values())


def _compiled(prompt: Json, guard: str) -> Render:
    template = compile_template(prompt["template"], f"the prompt of guard {guard!r} in the log", False)
    defaults = prompt.get("defaults", {})
    return lambda inputs: template.render({**defaults, **inputs}, max_characters=MAX_PROMPT_CHARACTERS)


def sent_messages(
    record: Record, description: Json, renders: Sequence[Render]
) -> dict[str, tuple[Message, ...]] | LeftOut:
    """The messages of a call's first requests, by address: those that one of `renders` makes and the digest confirms."""
    requests = [(address, step) for step in record.steps if (address := _first_request(step))]
    if not requests:
        return "no request in the log"
    rendered = [messages for render in renders if (messages := _rendered(render, record.opening.inputs))]
    if not rendered:
        return "the prompt cannot be rendered"
    known = {
        step.address: messages
        for address, step in requests
        for messages in rendered
        if step.digest in _digests(address, messages, description, together=len(requests))
    }
    return known or "not the request that was sent"


def _first_request(step: Step) -> re.Match[str] | None:
    is_call = isinstance(step.answer, ModelReply | ModelFailure)
    return _FIRST_REQUEST.match(step.address) if is_call else None


def _rendered(render: Render, inputs: Json) -> tuple[Message, ...] | None:
    try:
        return render(inputs)
    except Exception:  # a user's function failed, or the prompt does not take these inputs
        return None


def _digests(
    address: re.Match[str], messages: tuple[Message, ...], description: Json, *, together: int
) -> Iterator[str]:
    """The digests that a request of these messages may have at this address: the budget bounds its tokens, and so does
    the number of requests that are sent with it."""
    number, rung = int(address[2]), dict(enumerate(description["ladder"])).get(int(address[1]), {})
    drawing = _drawing(rung, number)
    if drawing is None:
        return
    request = ModelRequest(
        model=drawing["model"],
        messages=messages,
        output=ResponseFormat(
            name="", schema=None, instruction="", digest=digest(description["schema"]["json_schema"])
        ),
        sampling=_sampling(drawing["sampling"], number if "consistency" in rung else 0),
        sample=number,
    )
    bounded = description["budget"].get("tokens") is not None
    for parallel in range(1, together + 1 if bounded else 2):
        allowed = BudgetTracker(Budget(**description["budget"]), parallel=parallel).reserve(request)
        if isinstance(allowed, ModelRequest):
            yield request_digest(allowed)


def _drawing(rung: Json, number: int) -> Json:
    """The rung or variant that draws a sample: variants take turns. None where the rung has no model."""
    variants = rung.get("variants") or [rung]
    return variants[number % len(variants)] if "model" in rung else None


def _sampling(settings: Mapping[str, Json], number: int) -> Sampling:
    """Of sample `number`, whose number is added to the seed."""
    sampling = Sampling(**{**settings, "stop": tuple(settings.get("stop", ()))})
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)


# ------------------------------------------------------------------------------------------------- examples


def example_of(
    record: Record, description: Json, renders: Sequence[Render], reviews: Sequence[Review] = ()
) -> Example | LeftOut:
    """A call to learn from, or why it gives none. `description`: of its guard, from the log."""
    if record.outcome is None:
        return "not finished"
    answer = answer_of(record.outcome, reviews)
    if not isinstance(answer, Answer):
        return answer
    sent = sent_messages(record, description, renders)
    if isinstance(sent, str):
        return sent
    messages = sent[min(sent, key=_numbers_in)]
    if not all(isinstance(message.content, str) and message.content for message in messages):
        return "not plain text"
    opening, addresses = record.opening, {address for address in sent if sent[address] == messages}
    return Example(
        id=opening.id,
        guard=opening.guard,
        fingerprint=opening.fingerprint,
        inputs=opening.inputs,
        messages=messages,
        answer=answer,
        rejected=tuple(_rejected(record.outcome, answer, addresses)),
    )


def _numbers_in(address: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", address))


def _rejected(outcome: Outcome[Json], answer: Answer, addresses: Collection[str]) -> Iterator[str]:
    """Replies at these addresses that did not pass, or that a reviewer corrected; but none with the right answer."""
    right = encode(answer.value, sort_keys=True)
    yielded = set[str]()
    for attempt in outcome.attempts:
        passed = attempt.failure is None and answer.corrected
        if attempt.address not in addresses or not (passed or attempt.failure in REJECTED):
            continue
        text = attempt.text
        if (
            text.strip()
            and text not in yielded
            and right not in (encode(each, sort_keys=True) for each in decode_plain(text))
        ):
            yielded.add(text)
            yield text


# ------------------------------------------------------------------------------------------------- rows


def rows_of(example: Example, form: Format) -> list[dict[str, Json]]:
    """The lines of an example: one, or for dpo one for each rejected reply."""
    reply = {"role": "assistant", "content": example.answer.text}
    prompt: list[Json] = [{"role": each.role, "content": each.content} for each in example.messages]
    if form == "sft":
        return [{"messages": [*map(_unlearned, prompt), reply]}]
    if form == "dpo":
        return [
            {
                "input": {"messages": prompt},
                "preferred_output": [reply],
                "non_preferred_output": [{"role": "assistant", "content": text}],
            }
            for text in example.rejected
        ]
    metadata = {
        "guard": example.guard,
        "fingerprint": example.fingerprint,
        "inputs": example.inputs,
        "corrected": example.answer.corrected,
    }
    return [{"id": example.id, "input": prompt, "ideal": example.answer.text, "metadata": metadata}]


def _unlearned(message: Json) -> Json:
    """Weight 0 for assistant messages of the prompt: by default fine-tuning trains on every assistant message."""
    return {**message, "weight": 0} if message["role"] == "assistant" else message


def side_of(inputs: Json, share: float) -> Side:
    """The side of a split for a call's rows. Equal inputs are on the same side, in every run and for every guard.

    >>> {side_of({"text": str(number)}, 0.5) for number in range(20)} == {"train", "validation"}
    True
    """
    position = int(digest_bytes(b"split:" + digest(inputs).encode())[:13], 16) / 16**13
    return "validation" if position < share else "train"


@dataclass(slots=True)
class Dataset:
    """Rows one after the other, each once; calls that give none are counted. Keeps a digest of each row, not the rows."""

    form: Format
    share: float = 0.0
    keep_redacted: bool = False
    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    _known: set[str] = field(default_factory=set)

    def add(self, example: Example | LeftOut) -> list[DatasetRow]:
        """The rows of the next call."""
        if not isinstance(example, Example):
            self.left_out[example] += 1
            return []
        lines = rows_of(example, self.form)
        if not lines:
            self.left_out["no rejected attempt"] += 1
        side = side_of(example.inputs, self.share)
        added = [DatasetRow(id=example.id, side=side, data=data) for data in lines if self._is_new(data)]
        self.rows.update(row.side for row in added)
        return added

    def _is_new(self, data: dict[str, Json]) -> bool:
        if not self.keep_redacted and _REDACTED in encode(data):
            self.left_out["redacted"] += 1
            return False
        name = digest({key: data[key] for key in data if key not in ("id", "metadata")})
        if name in self._known:
            self.left_out["duplicate"] += 1
            return False
        self._known.add(name)
        return True


def valid_share(share: float) -> float:
    """The share, if it is from 0 to less than 1; else UsageError."""
    if not 0 <= share < 1:
        raise UsageError(f"--split {share!r}: expected the share for validation, from 0 to less than 1, such as 0.1.")
    return share
