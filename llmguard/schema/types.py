"""A Python type as an output schema, through pydantic: its JSON Schema, and the conversion from JSON and back."""

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
from llmguard.schema.type_validators import TypeValidators
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
"""`datetime` and `time` may be without a time zone, which RFC 3339 does not allow. pydantic would also accept seconds since
1970 in a string; that is refused, since no schema describes it."""


@dataclass(frozen=True, slots=True)
class PythonType:
    """A type that pydantic can build."""

    source: object
    adapter: TypeAdapter[Any]
    validators: TypeValidators

    def load(self, value: Json) -> object:
        """The Python value of JSON that fits the schema, by the rules of JSON: dates from strings, tuples from lists."""
        return self.adapter.validate_json(encode(value))

    def dump(self, value: object) -> Json:
        """The JSON of a Python value. What is JSON already, or of another type, is passed on to validation."""
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
            errors = error.errors(include_url=False, include_context=False)
            return tuple(_violation(each, value) for each in errors[:MAX_VIOLATIONS])
        return ()


def python_type(source: object, where: str) -> tuple[Json, PythonType]:
    """The JSON Schema of a type, and the type. UsageError where pydantic cannot make the one or the other."""
    from pydantic import TypeAdapter

    _refuse_other_than_types(source, where)
    try:
        adapter: TypeAdapter[Any] = (
            source if isinstance(source, TypeAdapter) else TypeAdapter(_known_to_pydantic(source))
        )
        return adapter.json_schema(mode="validation"), PythonType(source, adapter, TypeValidators(adapter.core_schema))
    except Exception as error:  # pydantic's own errors, and whatever the hooks of a user's type raise
        raise UsageError(
            f"{where}: {_type_name(source)} cannot be an output schema: {_first_line(error)} Expected a type that JSON can carry:"
            " a pydantic model, a dataclass, a TypedDict, or a type such as int, Literal['a', 'b'], list[str], X | None."
            " Change the type, or give its JSON Schema."
        ) from error


def _known_to_pydantic(source: Any) -> Any:
    """Before Python 3.12 pydantic accepts only the TypedDict of typing_extensions: typing's is converted here, also
    within `list[X]`, `X | None` and the like. One inside a model or a dataclass is refused by pydantic."""
    if sys.version_info >= (3, 12):
        return source
    if isinstance(source, type) and is_typeddict(source) and type(source).__module__ == "typing":
        return _extended(source)
    origin, arguments = get_origin(source), get_args(source)
    known = tuple(_known_to_pydantic(each) for each in arguments)
    if known == arguments or origin is None:
        return source
    return {Union: Union, UnionType: Union, Annotated: Annotated}.get(origin, origin)[known]


def _extended(source: Any) -> Any:
    import typing_extensions as extended

    fields = {}
    for name, hint in get_type_hints(source, include_extras=True).items():
        need = extended.Required if name in source.__required_keys__ else extended.NotRequired
        if get_origin(hint) in (Required, NotRequired):
            need, hint = get_origin(hint), get_args(hint)[0]
        fields[name] = need[_known_to_pydantic(hint)]
    return extended.TypedDict(source.__name__, fields)  # type: ignore[operator]


def _refuse_other_than_types(source: object, where: str) -> None:
    plain = isinstance(source, str | bytes | int | float | list | tuple | set | None)
    if plain or type(source).__name__ in ("function", "builtin_function_or_method"):
        raise UsageError(
            f"{where} is {_type_name(source)}. Expected a JSON Schema as dict or JSON text, or a Python type. Give one of these."
        )
    if not isinstance(source, type) and (is_dataclass(source) or hasattr(source, "model_dump")):
        raise UsageError(f"{where} is an instance of {type(source).__name__}. Give the class itself.")


def _type_name(source: object) -> str:
    return getattr(source, "__name__", None) or repr(source)[:80]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".") + "."


def _violation(error: Any, value: Json) -> Violation:
    path, at = [], value
    for token in error["loc"]:  # names of union members are between the steps of the value
        if (isinstance(at, dict) and token in at) or (
            isinstance(at, list) and isinstance(token, int) and token < len(at)
        ):
            at = at[token]
        else:
            continue
        path.append(str(token))
    text = " ".join(error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").split())
    message = text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"
    return Violation(as_pointer(tuple(path)), PYTHON_RULE, message, error["type"], clipped(at))


def plain_json(value: object) -> Json:
    """What a function may return where the schema is no Python type: JSON, or an object that pydantic or dataclasses convert."""
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json", by_alias=True)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value
