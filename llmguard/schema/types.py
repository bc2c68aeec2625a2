"""A Python type as an output schema, through pydantic: its JSON Schema, and the way from JSON to it and back."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from llmguard.core.canonical import EncodingError, Json, encode
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Violation, Violations
from llmguard.schema.keywords import as_pointer
from llmguard.schema.words import clipped

if TYPE_CHECKING:
    from pydantic import TypeAdapter

PYTHON_RULE = "python_type"
"""The rule of what a type's own validators object to."""

MAX_MESSAGE_CHARS = 300
MAX_VIOLATIONS = 20
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?\Z"
)
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?\Z")

LENIENT_FORMATS: dict[str, Callable[..., bool]] = {
    "date-time": lambda text: _DATE_TIME.match(text) is not None,
    "time": lambda text: _TIME.match(text) is not None,
}
"""`datetime` and `time` may be without a time zone, which RFC 3339 does not know; what pydantic would take beside them,
seconds since 1970 in a string, is refused all the same: nobody asked for it."""


@dataclass(frozen=True, slots=True)
class PythonType:
    """A type that pydantic can build."""

    given: object
    adapter: TypeAdapter[Any]

    def load(self, value: Json) -> object:
        """The Python value of JSON that fits the schema, by the rules of JSON: dates from strings, tuples from lists."""
        return self.adapter.validate_json(encode(value))

    def dump(self, value: object) -> Json:
        """The JSON of a Python value. What is JSON already, or of another type, is passed on: validation tells."""
        from pydantic_core import PydanticSerializationError

        try:
            return self.adapter.dump_python(value, mode="json", by_alias=True, round_trip=True, warnings=False)
        except PydanticSerializationError as error:
            raise EncodingError(str(error)) from None

    def violations(self, value: Json) -> Violations:
        """What the type's own validators object to."""
        from pydantic import ValidationError

        try:
            self.load(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            return tuple(_violation(each, value) for each in found[:MAX_VIOLATIONS])
        return ()


def python_type(given: object, where: str) -> tuple[Json, PythonType]:
    """The JSON Schema of a type, and the type. UsageError where pydantic cannot make the one or the other."""
    from pydantic import TypeAdapter

    _refuse_what_is_no_type(given, where)
    try:
        adapter: TypeAdapter[Any] = given if isinstance(given, TypeAdapter) else TypeAdapter(_known_to_pydantic(given))
        return adapter.json_schema(mode="validation"), PythonType(given, adapter)
    except Exception as error:  # pydantic's own errors, and whatever the hooks of a user's type raise
        raise UsageError(
            f"{where}: {_named(given)} cannot be an output schema: {_first_line(error)} Expected a type that JSON can carry:"
            " a pydantic model, a dataclass, a TypedDict, or a type such as int, Literal['a', 'b'], list[str], X | None."
            " Change the type, or give its JSON Schema."
        ) from error


def _known_to_pydantic(given: Any) -> Any:
    """Before Python 3.12 pydantic takes only the TypedDict of typing_extensions: typing's is made into one here, also
    within `list[X]`, `X | None` and the like. One inside a model or a dataclass is pydantic's to refuse."""
    if sys.version_info >= (3, 12):
        return given
    if isinstance(given, type) and is_typeddict(given) and type(given).__module__ == "typing":
        return _extended(given)
    origin, arguments = get_origin(given), get_args(given)
    known = tuple(_known_to_pydantic(each) for each in arguments)
    if known == arguments or origin is None:
        return given
    return {Union: Union, UnionType: Union, Annotated: Annotated}.get(origin, origin)[known]


def _extended(given: Any) -> Any:
    import typing_extensions as extended

    fields = {}
    for name, hint in get_type_hints(given, include_extras=True).items():
        need = extended.Required if name in given.__required_keys__ else extended.NotRequired
        if get_origin(hint) in (Required, NotRequired):
            need, hint = get_origin(hint), get_args(hint)[0]
        fields[name] = need[_known_to_pydantic(hint)]
    return extended.TypedDict(given.__name__, fields)  # type: ignore[operator]


def _refuse_what_is_no_type(given: object, where: str) -> None:
    plain = isinstance(given, str | bytes | int | float | list | tuple | set | None)
    if plain or type(given).__name__ in ("function", "builtin_function_or_method"):
        raise UsageError(
            f"{where} is {_named(given)}. Expected a JSON Schema as dict or JSON text, or a Python type. Give one of these."
        )
    if not isinstance(given, type) and (is_dataclass(given) or hasattr(given, "model_dump")):
        raise UsageError(f"{where} is an instance of {type(given).__name__}. Give the class itself.")


def _named(given: object) -> str:
    return getattr(given, "__name__", None) or repr(given)[:80]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".") + "."


def _violation(found: Any, value: Json) -> Violation:
    path, at = [], value
    for token in found["loc"]:  # names of union members stand between the steps of the value
        if (isinstance(at, dict) and token in at) or (
            isinstance(at, list) and isinstance(token, int) and token < len(at)
        ):
            at = at[token]
        else:
            continue
        path.append(str(token))
    said = " ".join(found["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").split())
    message = said if len(said) <= MAX_MESSAGE_CHARS else said[: MAX_MESSAGE_CHARS - 1] + "…"
    return Violation(as_pointer(tuple(path)), PYTHON_RULE, message, found["type"], clipped(at))


def plain_json(value: object) -> Json:
    """What a function may return where the schema is no Python type: JSON, or an object that is easily made JSON."""
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json", by_alias=True)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value
