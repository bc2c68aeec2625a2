"""Recorded calls as rows to fine-tune or evaluate a model with: what was sent, and what should have been said to it.

A row is only made of what is known. The messages of a call are not in the log: they are rendered anew from the prompt,
and stand in a row if the request they make has the digest of the request that was sent. The answer is the value that a
model gave and that passed, or the value by which a reviewer replaced it. Whatever is left out is counted, with why.

    sft     {"messages": [..., {"role": "assistant", "content": "<the answer>"}]}
    dpo     {"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}
    evals   {"id": ..., "input": [...], "ideal": "<the answer>", "metadata": {...}}

The first two are OpenAI's formats for supervised and for preference fine-tuning, the third is that of the samples of
OpenAI's open evals (`Match`, `Includes`, `JsonMatch`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, TypeAlias

from llmguard.budget import Budget, Purse
from llmguard.canonical import Json, decode_plain, digest, digest_bytes, encode
from llmguard.effects import request_digest
from llmguard.errors import UsageError
from llmguard.messages import Message, ModelFailure, ModelReply, ModelRequest, OutputForm, Sampling
from llmguard.outcome import Outcome
from llmguard.prompts import MAX_PROMPT_CHARACTERS
from llmguard.prompts.template import compile_template
from llmguard.record import Record, Step

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
"""Failures that say something of what the model preferred to say; a truncated reply says something of the limit."""

_FIRST_REQUEST = re.compile(r"r(\d{1,4})/s(\d{1,6})/a1/t\d+h?\Z")
"""Addresses of requests that carry the prompt as it is. Those of a judge go on with the name of its check."""
_REDACTED = b"[redacted:"


class Reviewed(Protocol):
    """What is asked of a review: its verdict (right, wrong or unsure), and the corrected value as a tuple of one."""

    @property
    def verdict(self) -> str: ...
    @property
    def correction(self) -> tuple[Json, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The value that should have been said. `corrected`: by a reviewer."""

    value: Json
    corrected: bool = False

    @property
    def text(self) -> str:
        """As the model should have said it: compact JSON."""
        return encode(self.value).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One call to learn from. `rejected` are replies to the same messages that did not pass."""

    id: str
    guard: str
    fingerprint: str
    inputs: Json
    messages: tuple[Message, ...]
    answer: Answer
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """One line of a dataset, the outcome it was made of, and the side of the split on which it stands."""

    id: str
    side: Side
    data: dict[str, Json]


# ------------------------------------------------------------------------------------------------- what was right


def answer_of(outcome: Outcome[Json], reviews: Sequence[Reviewed] = ()) -> Answer | LeftOut:
    """The right answer of a call, or why it is not known. `reviews` stand in their order: the newest counts.

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
    if newest is not None and outcome.candidate:  # right is what was judged, whoever answered in the end
        return Answer(value=outcome.candidate[0])
    if outcome.status in ("accepted", "recovered"):
        return Answer(value=outcome.json)
    return "no answer to learn from"


# ------------------------------------------------------------------------------------------------- what was sent


def stored_prompt(description: Json) -> Render | None:
    """The prompt of a guard as the log describes it; None where it is a function, which no log holds.

    Raises:
        UsageError: the stored template cannot be compiled, by a secret that was taken out of it, say.
    """
    told = description["prompt"]
    if "template" not in told:
        return None
    template = compile_template(told["template"], f"the prompt of guard {description['name']!r} in the log", False)
    defaults = told.get("defaults", {})
    return lambda inputs: template.render({**defaults, **inputs}, max_characters=MAX_PROMPT_CHARACTERS)


def prompt_function(description: Json) -> str:
    """The name of the function that makes a guard's prompt; "" where the prompt is a template."""
    return str(description["prompt"].get("function", ""))


def sent_messages(record: Record, description: Json, renders: Sequence[Render]) -> tuple[Message, ...] | LeftOut:
    """The messages of a call's first request, by the first of `renders` that makes the request that was sent."""
    requests = [(found, step) for step in record.steps if (found := _first_request(step))]
    if not requests:
        return "no request in the log"
    failed = True
    for render in renders:
        messages = _rendered(render, record.opening.inputs)
        failed = failed and messages is None
        if messages and any(_is_sent(step, found, messages, description) for found, step in requests):
            return messages
    return "the prompt cannot be rendered" if failed else "not the request that was sent"


def _first_request(step: Step) -> re.Match[str] | None:
    is_call = isinstance(step.answer, ModelReply | ModelFailure)
    return _FIRST_REQUEST.match(step.address) if is_call else None


def _rendered(render: Render, inputs: Json) -> tuple[Message, ...] | None:
    try:
        return render(inputs)
    except Exception:  # a user's function, or inputs that the prompt does not know
        return None


def _is_sent(step: Step, found: re.Match[str], messages: tuple[Message, ...], description: Json) -> bool:
    """Whether the step answers the request that these messages make at its rung, within a full purse."""
    rung = dict(enumerate(description["ladder"])).get(int(found[1]), {})
    if "model" not in rung:
        return False
    form = digest(description["schema"]["json_schema"])
    request = ModelRequest(
        model=rung["model"],
        messages=messages,
        output=OutputForm(name="", schema=None, instruction="", digest=form),
        sampling=_sampling(rung["sampling"]),
    )
    allowed = Purse(Budget(**description["budget"])).take(request)
    asked = [replace(allowed, sample=sample) for sample in (0, int(found[2])) if isinstance(allowed, ModelRequest)]
    return step.digest in map(request_digest, asked)


def _sampling(given: Mapping[str, Json]) -> Sampling:
    return Sampling(**{**given, "stop": tuple(given.get("stop", ()))})


# ------------------------------------------------------------------------------------------------- examples


def example_of(
    record: Record, description: Json, renders: Sequence[Render], reviews: Sequence[Reviewed] = ()
) -> Example | LeftOut:
    """A call to learn from, or why it is none. `description`: of its guard, from the log."""
    if record.outcome is None:
        return "not finished"
    answer = answer_of(record.outcome, reviews)
    if not isinstance(answer, Answer):
        return answer
    messages = sent_messages(record, description, renders)
    if isinstance(messages, str):
        return messages
    if not all(isinstance(message.content, str) and message.content for message in messages):
        return "not plain text"
    opening = record.opening
    return Example(
        id=opening.id,
        guard=opening.guard,
        fingerprint=opening.fingerprint,
        inputs=opening.inputs,
        messages=messages,
        answer=answer,
        rejected=tuple(_rejected(record.outcome, answer)),
    )


def _rejected(outcome: Outcome[Json], answer: Answer) -> Iterator[str]:
    """Replies to the prompt that did not pass, or that a reviewer corrected; none that says the right answer."""
    right = encode(answer.value, sort_keys=True)
    seen = set[str]()
    for attempt in outcome.attempts:
        passed = attempt.failure is None and answer.corrected
        if not _FIRST_REQUEST.match(attempt.address) or not (passed or attempt.failure in REJECTED):
            continue
        text = attempt.text
        if (
            text.strip()
            and text not in seen
            and right not in (encode(each, sort_keys=True) for each in decode_plain(text))
        ):
            seen.add(text)
            yield text


# ------------------------------------------------------------------------------------------------- rows


def rows_of(example: Example, form: Format) -> list[dict[str, Json]]:
    """The lines that an example gives: one, or for dpo one for each rejected reply."""
    said = {"role": "assistant", "content": example.answer.text}
    prompt: list[Json] = [{"role": each.role, "content": each.content} for each in example.messages]
    if form == "sft":
        return [{"messages": [*map(_unlearned, prompt), said]}]
    if form == "dpo":
        return [
            {
                "input": {"messages": prompt},
                "preferred_output": [said],
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
    """What the assistant says in a prompt is no answer to learn: by default every assistant message is trained on."""
    return {**message, "weight": 0} if message["role"] == "assistant" else message


def side_of(inputs: Json, share: float) -> Side:
    """The side of a split on which a call's rows stand: equal inputs stand on one side, in every run and of every guard.

    >>> {side_of({"text": str(number)}, 0.5) for number in range(20)} == {"train", "validation"}
    True
    """
    drawn = int(digest_bytes(b"split:" + digest(inputs).encode())[:13], 16) / 16**13
    return "validation" if drawn < share else "train"


@dataclass(slots=True)
class Dataset:
    """Rows one after the other, each once; what is left out is counted. Keeps a digest of each row, not the rows."""

    form: Format
    share: float = 0.0
    keep_redacted: bool = False
    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    def take(self, example: Example | LeftOut) -> list[DatasetRow]:
        """The rows of the next call."""
        if not isinstance(example, Example):
            self.left_out[example] += 1
            return []
        found = rows_of(example, self.form)
        if not found:
            self.left_out["no rejected attempt"] += 1
        side = side_of(example.inputs, self.share)
        taken = [DatasetRow(id=example.id, side=side, data=data) for data in found if self._is_wanted(data)]
        self.rows[side] += len(taken)
        return taken

    def _is_wanted(self, data: dict[str, Json]) -> bool:
        if not self.keep_redacted and _REDACTED in encode(data):
            self.left_out["redacted"] += 1
            return False
        name = digest({key: data[key] for key in data if key not in ("id", "metadata")})
        if name in self._seen:
            self.left_out["duplicate"] += 1
            return False
        self._seen.add(name)
        return True


def refuse_share(share: float) -> float:
    """A share of the rows for validation, from 0 to less than 1; UsageError for what is none."""
    if not 0 <= share < 1:
        raise UsageError(f"--split {share!r}: expected the share for validation, from 0 to less than 1, such as 0.1.")
    return share
