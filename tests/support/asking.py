"""Asks a model as a driver would, in sync and in async, so that every test says its sentence of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from llmguard.core.messages import Message, ModelAnswer, ModelRequest, ResponseFormat, Sampling
from llmguard.core.model import Model
from llmguard.runtime.execution import TimeLeft

Ask: TypeAlias = Callable[..., ModelAnswer]

SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}


def form(schema: Any = SCHEMA, name: str = "thing") -> ResponseFormat:
    return ResponseFormat(name=name, schema=schema, instruction="Answer with JSON.", digest=f"{name} {schema}")


def request(
    text: str = "How many?", output: ResponseFormat | None = None, model: str = "m", **sampling: Any
) -> ModelRequest:
    messages = (Message("system", "You count."), Message("user", text))
    return ModelRequest(model=model, messages=messages, output=output, sampling=Sampling(**sampling))


def ask_sync(model: Model, asked: ModelRequest | None = None, deadline_s: float = 10.0) -> ModelAnswer:
    return model.call(asked or request(output=form()), TimeLeft(time.monotonic() + deadline_s))


def ask_async(model: Model, asked: ModelRequest | None = None, deadline_s: float = 10.0) -> ModelAnswer:
    """On an event loop of its own each time: a model outlives the loops that it is asked on."""
    return asyncio.run(model.acall(asked or request(output=form()), TimeLeft(time.monotonic() + deadline_s)))
