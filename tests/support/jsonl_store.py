"""A store that appends JSON lines to a file: a second implementation of `OutcomeStore`, written as a user would write it.

Each line is one event, such as `["step", "call id", {...}]`. To answer anything the file is read from its beginning, which
is slow, and shows how little a store has to supply.
"""

from __future__ import annotations

import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from threading import Lock

from llmguard.certification.certificate import Certificate
from llmguard.core.canonical import Json, decode, encode
from llmguard.core.errors import LogError
from llmguard.core.outcome import Outcome
from llmguard.core.record import (
    CallStart,
    Step,
    answer_from_json,
    decode_outcome,
    encode_answer,
    encode_outcome,
    raw_of,
    with_texts,
)
from llmguard.core.redaction import redact
from llmguard.log import Review, ScanningStore, StoreContents


class JsonLinesStore(ScanningStore):
    """One file of events. `url` is None: `open_log` knows no such stores."""

    url = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        if not path.exists():
            self._append(["secret", secrets.token_hex(32)])

    @cached_property
    def secret(self) -> bytes:
        return next(bytes.fromhex(event[1]) for event in self._events() if event[0] == "secret")

    # ------------------------------------------------------------------------------------------- writing

    def guard(self, fingerprint: str, name: str, description: Json) -> None:
        self._append(["guard", fingerprint, name, description])

    def begin(self, opening: CallStart) -> None:
        self._append(["begin", {name: getattr(opening, name) for name in CallStart.__slots__}])

    def step(self, call_id: str, step: Step) -> None:
        raw, _ = raw_of(step.answer)
        answer = decode(encode_answer(step.answer))
        self._append(["step", call_id, step.address, step.digest, answer, b64encode(raw).decode(), step.waited_s])

    def finish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        self._append(["finish", call_id, decode(encode_outcome(outcome)), finished_at])

    async def afinish(self, call_id: str, outcome: Outcome[Json], finished_at: float) -> None:
        self.finish(call_id, outcome, finished_at)  # a line is written in less time than a thread is started

    def feedback(self, call_id: str, key: str, value: Json, at: float) -> None:
        if call_id not in self._contents().calls:
            raise self._unknown(call_id)
        self._append(["feedback", call_id, key, value, at])

    def save_certificate(self, certificate: Certificate, at: float) -> None:
        self._append(["certificate", certificate.json(), at])

    def suspend(self, certificate_id: str, at: float) -> bool:
        if not self._contents().suspend(certificate_id, at):
            return False
        self._append(["suspend", certificate_id, at])
        return True

    def _save_reviews(self, reviews: Sequence[Review]) -> None:
        self._append(*(["review", {**asdict(review), "correction": list(review.correction)}] for review in reviews))

    def mark_interrupted(self, *, foreign_before: float | None = None) -> int:
        return 0

    def flush(self) -> bool:
        return True

    def close(self) -> None:
        return

    def _append(self, *events: Json) -> None:
        lines = b"".join(redact(encode(event)) + b"\n" for event in events)
        with self._lock, self.path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    # ------------------------------------------------------------------------------------------- reading

    def _events(self) -> Iterator[Json]:
        with self._lock:
            lines = self.path.read_bytes().splitlines()
        return map(decode, lines)

    def _contents(self) -> StoreContents:
        contents = StoreContents()
        for kind, *event in self._events():
            _apply(contents, kind, event)
        return contents

    def _unknown(self, call_id: str) -> LogError:
        return LogError(f"no call {call_id!r} in the store {str(self.path)!r}.")


def _apply(contents: StoreContents, kind: str, event: Sequence[Json]) -> None:
    match kind, *event:
        case "guard", fingerprint, name, description:
            contents.add_guard(fingerprint, name, description)
        case "begin", opening:
            contents.begin(CallStart(**opening))
        case "step", call_id, address, digest, answer, raw, waited_s:
            step = Step(address, digest, answer_from_json(answer, b64decode(raw)), waited_s)
            contents.calls[call_id].add_step(step)
        case "finish", call_id, outcome, finished_at:
            call = contents.calls[call_id]
            call.finish(with_texts(decode_outcome(encode(outcome)), call.steps), finished_at)
        case "feedback", call_id, key, value, at:
            contents.calls[call_id].feedback.append({"key": key, "value": value, "at": at})
        case "review", review:
            review["correction"] = tuple(review["correction"])
            contents.calls[review["call_id"]].reviews.append(Review(**review))
        case "certificate", certificate, at:
            contents.add_certificate(Certificate.from_json(certificate), at)
        case "suspend", certificate_id, at:
            contents.suspend(certificate_id, at)
