"""A prompt that is a function: what it returns as messages, or an error that says what is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, cast, get_args

from llmguard.core.canonical import EncodingError, Json, digest, json_roundtrip
from llmguard.core.errors import UsageError
from llmguard.core.messages import Message, Role

PromptFunction: TypeAlias = Callable[..., object]
"""inputs -> text, a Message, {"role": …, "content": …}, or a list of the last two."""

FINGERPRINT = "__llmguard_fingerprint__"
"""An attribute with the description of a function of llmguard's own, so that moving its code makes no new guard."""

_ROLES = get_args(Role)
_EXPECTED = 'text, a Message, {"role": …, "content": …}, or a list of the last two'


def refuse_function(function: PromptFunction, where: str) -> None:
    """Refuse what is known to be wrong before the first call: a coroutine, and other than one argument."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise UsageError(
            f"{where} is an async function, and a prompt is made without waiting. Fetch what it needs"
            " first, and pass it as an input."
        )
    try:
        inspect.signature(function).bind({})
    except TypeError:
        raise UsageError(f"{where} takes {inspect.signature(function)}, expected one argument: (inputs).") from None
    except ValueError:  # some builtins have no signature
        pass


def describe_function(function: PromptFunction) -> Json:
    """Its qualified name and the digest of its source: a changed function is a changed guard."""
    if isinstance(function, partial):
        bound = [*map(_bound, function.args), *([name, _bound(value)] for name, value in function.keywords.items())]
        return {**describe_function(function.func), "bound": bound}
    if fixed := getattr(function, FINGERPRINT, None):
        return fixed
    plain = inspect.unwrap(function)
    definition = plain if hasattr(plain, "__qualname__") else type(plain)
    try:
        source = inspect.getsource(definition)
    except (OSError, TypeError):  # typed at a prompt, or built in
        source = ""
    return {"function": _qualified_name(definition), "source": digest(source)}


def _bound(value: object) -> Json:
    """An argument that partial() fixed: JSON as it is, of anything else the type."""
    try:
        return json_roundtrip(value)
    except EncodingError:
        return _qualified_name(type(value))


def _qualified_name(definition: Any) -> str:
    return f"{definition.__module__}.{definition.__qualname__}"


def call_prompt_function(
    function: PromptFunction, inputs: Mapping[str, Json], *, where: str, max_characters: int
) -> tuple[Message, ...]:
    """The messages that a function returns for `inputs`. It gets a dict of its own."""
    messages = as_messages(function(dict(inputs)), where)
    if sum(map(_length, messages)) > max_characters:
        raise ValueError(f"{where} returned more than {max_characters:,} characters; shorten the inputs")
    return messages


def as_messages(value: object, where: str) -> tuple[Message, ...]:
    """What a prompt function returned, checked.

    >>> as_messages(["hello"], "prompt 'greet'")
    Traceback (most recent call last):
    TypeError: prompt 'greet': message 1 is of type str, expected a Message or {"role": …, "content": …}
    """
    if isinstance(value, str):
        return (Message("user", value),)
    if isinstance(value, Message | Mapping):
        value = (value,)
    if not isinstance(value, list | tuple):
        raise TypeError(f"{where} returned a value of type {type(value).__name__}, expected {_EXPECTED}")
    if not value:
        raise ValueError(f"{where} returned no message, expected {_EXPECTED}")
    return tuple(_message(each, f"{where}: message {number}") for number, each in enumerate(value, 1))


def _message(value: object, where: str) -> Message:
    if isinstance(value, Message):
        value = {"role": value.role, "content": value.content}
    if not isinstance(value, Mapping):
        raise TypeError(f'{where} is of type {type(value).__name__}, expected a Message or {{"role": …, "content": …}}')
    if set(value) != {"role", "content"}:
        raise ValueError(f"{where} has {sorted(map(str, value))}, expected role and content and nothing else")
    if value["role"] not in _ROLES:
        raise ValueError(f"{where} has the role {value['role']!r}, expected one of {', '.join(_ROLES)}")
    return Message(cast(Role, value["role"]), _content(value["content"], where))


def _content(value: object, where: str) -> str | tuple[Json, ...]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not value:
        raise TypeError(f"{where} has content of type {type(value).__name__}, expected text or a list of content parts")
    return tuple(_part(part, f"{where}, part {number}") for number, part in enumerate(value, 1))


def _part(value: object, where: str) -> Json:
    """One content part in OpenAI's form; kinds other than text and images are any JSON."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str):
        raise TypeError(f'{where} is {str(value)[:80]!r}, expected {{"type": "text", "text": …}} or the like')
    if kind == "text" and not isinstance(value.get("text"), str):
        raise TypeError(f"{where} is of type text and has no text")
    if kind == "image_url" and not _is_image(value.get("image_url")):
        raise TypeError(f'{where} is of type image_url, expected {{"image_url": {{"url": "https://… or data:…"}}}}')
    try:
        return json_roundtrip(value)
    except EncodingError as error:
        raise ValueError(f"{where} is no JSON: {error}") from None


def _is_image(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("url"), str)


def _length(message: Message) -> int:
    """Characters of text; images do not count."""
    if isinstance(message.content, str):
        return len(message.content)
    return sum(len(part["text"]) for part in message.content if part["type"] == "text")
