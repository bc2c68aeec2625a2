"""A prompt that is a function: what it returns as messages, or a clear word on what is wrong with it."""

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
"""An attribute by which a function of llmguard's own says what to record of it, so that moving it makes no new guard."""

_ROLES = get_args(Role)
_EXPECTED = 'text, a Message, {"role": …, "content": …}, or a list of the last two'


def refuse_function(function: PromptFunction, where: str) -> None:
    """What can be told before it is called: it is no coroutine, and takes one argument."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise UsageError(
            f"{where} is an async function, and nothing can be waited for while a prompt is made. Fetch what it needs"
            " first, and pass it as an input."
        )
    try:
        inspect.signature(function).bind({})
    except TypeError:
        raise UsageError(f"{where} takes {inspect.signature(function)}, expected one argument: (inputs).") from None
    except ValueError:  # some builtins do not tell
        pass


def describe_function(function: PromptFunction) -> Json:
    """Its qualified name and the digest of its source: a changed function is a changed guard."""
    if isinstance(function, partial):
        bound = [*map(_bound, function.args), *([name, _bound(value)] for name, value in function.keywords.items())]
        return {**describe_function(function.func), "bound": bound}
    if fixed := getattr(function, FINGERPRINT, None):
        return fixed
    plain = inspect.unwrap(function)
    named = plain if hasattr(plain, "__qualname__") else type(plain)
    try:
        source = inspect.getsource(named)
    except (OSError, TypeError):  # typed at a prompt, or built in
        source = ""
    return {"function": _name_of(named), "source": digest(source)}


def _bound(value: object) -> Json:
    """What partial() fixed: JSON as it is, of all else the type."""
    try:
        return json_roundtrip(value)
    except EncodingError:
        return _name_of(type(value))


def _name_of(named: Any) -> str:
    return f"{named.__module__}.{named.__qualname__}"


def called(
    function: PromptFunction, inputs: Mapping[str, Json], *, where: str, max_characters: int
) -> tuple[Message, ...]:
    """The messages a function makes of `inputs`. It gets a dict of its own."""
    messages = as_messages(function(dict(inputs)), where)
    if sum(map(_length, messages)) > max_characters:
        raise ValueError(f"{where} returned more than {max_characters:,} characters; shorten the inputs")
    return messages


def as_messages(given: object, where: str) -> tuple[Message, ...]:
    """What a prompt function returned, checked.

    >>> as_messages(["hello"], "prompt 'greet'")
    Traceback (most recent call last):
    TypeError: prompt 'greet': message 1 is of type str, expected a Message or {"role": …, "content": …}
    """
    if isinstance(given, str):
        return (Message("user", given),)
    if isinstance(given, Message | Mapping):
        given = (given,)
    if not isinstance(given, list | tuple):
        raise TypeError(f"{where} returned a value of type {type(given).__name__}, expected {_EXPECTED}")
    if not given:
        raise ValueError(f"{where} returned no message, expected {_EXPECTED}")
    return tuple(_message(each, f"{where}: message {number}") for number, each in enumerate(given, 1))


def _message(given: object, where: str) -> Message:
    if isinstance(given, Message):
        given = {"role": given.role, "content": given.content}
    if not isinstance(given, Mapping):
        raise TypeError(f'{where} is of type {type(given).__name__}, expected a Message or {{"role": …, "content": …}}')
    if set(given) != {"role", "content"}:
        raise ValueError(f"{where} has {sorted(map(str, given))}, expected role and content and nothing else")
    if given["role"] not in _ROLES:
        raise ValueError(f"{where} has the role {given['role']!r}, expected one of {', '.join(_ROLES)}")
    return Message(cast(Role, given["role"]), _content(given["content"], where))


def _content(given: object, where: str) -> str | tuple[Json, ...]:
    if isinstance(given, str):
        return given
    if not isinstance(given, list | tuple) or not given:
        raise TypeError(f"{where} has content of type {type(given).__name__}, expected text or a list of content parts")
    return tuple(_part(part, f"{where}, part {number}") for number, part in enumerate(given, 1))


def _part(given: object, where: str) -> Json:
    """One content part as OpenAI spells it; kinds beside text and images pass, as JSON."""
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(kind, str):
        raise TypeError(f'{where} is {str(given)[:80]!r}, expected {{"type": "text", "text": …}} or the like')
    if kind == "text" and not isinstance(given.get("text"), str):
        raise TypeError(f"{where} is of type text and has no text")
    if kind == "image_url" and not _is_image(given.get("image_url")):
        raise TypeError(f'{where} is of type image_url, expected {{"image_url": {{"url": "https://… or data:…"}}}}')
    try:
        return json_roundtrip(given)
    except EncodingError as error:
        raise ValueError(f"{where} is no JSON: {error}") from None


def _is_image(given: object) -> bool:
    return isinstance(given, dict) and isinstance(given.get("url"), str)


def _length(message: Message) -> int:
    """Characters of text; an image is not read."""
    if isinstance(message.content, str):
        return len(message.content)
    return sum(len(part["text"]) for part in message.content if part["type"] == "text")
