"""The front matter of a Prompty file: inputs with their defaults, and the model's parameters.

What Prompty says of connections and models is left alone: a guard names its models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from llmguard.core.canonical import EncodingError, Json, json_roundtrip
from llmguard.core.errors import UsageError
from llmguard.core.messages import PROVIDERS_DEFAULTS, Sampling

MAX_CHARACTERS = 65_536

_FENCE = re.compile(r"---[ \t]*(?:\r\n|\r|\n|\Z)")
_CLOSING = re.compile(r"^---[ \t]*(?:\r\n|\r|\n|\Z)", re.MULTILINE)
_KEYS = (
    "$schema", "name", "displayName", "description", "version", "authors", "tags", "metadata", "base", "model",
    "inputs", "outputs", "sample", "template", "tools", "id",
)  # fmt: skip
_PROPERTY_KEYS = frozenset((
    "name", "type", "kind", "default", "sample", "example", "description", "required", "strict", "json_schema", "enum",
    "items", "properties",
))  # fmt: skip
# Prompty 1 (model.parameters) follows the API's names, Prompty 2 (model.options) has its own.
_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "topP": "top_p",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "maxOutputTokens": "max_tokens",
    "seed": "seed",
    "stop": "stop",
    "stop_sequences": "stop",
    "stopSequences": "stop",
}
_WHOLE = frozenset({"max_tokens", "seed"})
_NOT_READ = {
    "base": "base is not read: a prompt stands alone",
    "tools": "tools are not read: a guard's model calls none",
    "outputs": "outputs are not read: the output schema is the guard's",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a front matter says. `sample` are values to try the prompt with, `defaults` fill in for missing inputs."""

    names: frozenset[str] = frozenset()
    defaults: Mapping[str, Json] = field(default_factory=dict)
    sample: Mapping[str, Json] = field(default_factory=dict)
    sampling: Sampling = PROVIDERS_DEFAULTS
    warnings: tuple[str, ...] = ()


def split_front_matter(text: str, where: str, is_file: bool) -> tuple[str, str]:
    """Front matter and body; the body begins with as many empty lines as went before it, so that its lines keep their
    numbers. Text that only looks like it is left alone where it is no file."""
    text = text.removeprefix("\ufeff")
    opening = _FENCE.match(text)
    if not opening:
        return "", text
    closing = _CLOSING.search(text, opening.end())
    if closing is None:
        if is_file:
            raise UsageError(f"{where}: the front matter begins with '---' and never ends. Close it with a line '---'.")
        return "", text
    front = text[opening.end() : closing.start()]
    if len(front) > MAX_CHARACTERS:
        raise UsageError(
            f"{where}: the front matter has {len(front):,} characters, the most is {MAX_CHARACTERS:,}. Move data into"
            " inputs."
        )
    return front, "\n" * len(re.findall(r"\r\n|\r|\n", text[: closing.end()])) + text[closing.end() :]


def read_front_matter(front: str, where: str) -> Declared:
    """The front matter's YAML, read as data only; UsageError with the line where it cannot be."""
    found = _load(front, where) if front.strip() else None
    if found is None:
        return Declared()
    if not isinstance(found, dict):
        raise UsageError(
            f"{where}: the front matter is a {_kind(found)}, expected names with values ('name: invoice')."
        )
    _refuse_other_engines(found.get("template"), where)
    defaults, sample, names = _inputs(found, where)
    sampling, unused = _sampling(found.get("model"), where)
    return Declared(
        names=frozenset(names),
        defaults=defaults,
        sample=sample,
        sampling=sampling,
        warnings=(*_doubts(found), *unused),
    )


# ------------------------------------------------------------------------------------------------- YAML


def _load(front: str, where: str) -> Json:
    import yaml

    try:
        node = yaml.compose(front, Loader=yaml.SafeLoader)
        if node is not None:
            _refuse_twice(node, where, set())
        found = yaml.safe_load(front)
    except yaml.YAMLError as error:
        raise UsageError(_yaml_message(error, where)) from None
    except (RecursionError, ValueError) as error:  # ValueError: a date such as 2024-13-45, an integer of 5,000 digits
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"{where}: the front matter cannot be read as YAML: {said}. Put text in quotes.") from None
    return _as_json(found, where)


def _yaml_message(error: Any, where: str) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 2}" if mark else ""  # marks count from 0, and '---' stands before
    said = getattr(error, "problem", None) or str(error)
    return f"{where}{line}: the front matter cannot be read as YAML: {said}. Put text with ': ' or '#' in quotes."


def _refuse_twice(node: Any, where: str, seen: set[int]) -> None:
    """Keys that stand twice (the last would win silently), and aliases (nine of them nested make a billion values)."""
    import yaml

    line = node.start_mark.line + 2
    if id(node) in seen:
        raise UsageError(f"{where}, line {line}: the front matter uses an alias (*name). Write the value out.")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        if twice is not None:
            raise UsageError(f"{where}, line {line}: {twice!r} stands twice in the front matter. Keep one of them.")
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for each in child if isinstance(child, tuple) else (child,):
                _refuse_twice(each, where, seen)


def _as_json(found: Json, where: str) -> Json:
    """YAML has dates, sets and keys that are no strings; a prompt's inputs are JSON."""
    try:
        plain = json_roundtrip(found)
    except EncodingError as error:
        raise UsageError(f"{where}: the front matter holds what is no JSON: {error}. Put it in quotes.") from None
    if plain != found:
        raise UsageError(f"{where}: the front matter holds what is no JSON, such as a date. Put it in quotes.")
    return plain


# ------------------------------------------------------------------------------------------------- inputs


def _inputs(found: Mapping[str, Json], where: str) -> tuple[dict[str, Json], dict[str, Json], set[str]]:
    """Defaults, sample values, and all names. A bare value, `question: "Why?"`, is a sample, as in Prompty."""
    defaults: dict[str, Json] = {}
    sample: dict[str, Json] = {}
    names: set[str] = set()
    for name, given in _named(found.get("inputs"), where):
        names.add(name)
        described = given if _is_description(given) else {"sample": given}
        if "default" in described or described.get("required") is False:
            defaults[name] = described.get("default")
        for key in ("example", "sample"):
            if described.get(key) is not None:
                sample[name] = described[key]
    if isinstance(found.get("sample"), dict):
        sample |= found["sample"]
    return defaults, sample, names | sample.keys()


def _named(inputs: Json, where: str) -> Iterator[tuple[str, Json]]:
    if inputs is None:
        return
    if isinstance(inputs, dict):
        yield from inputs.items()
    elif isinstance(inputs, list) and all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in inputs
    ):
        yield from ((str(each["name"]), each) for each in inputs)
    else:
        raise UsageError(
            f"{where}: inputs in the front matter are a {_kind(inputs)}, expected names with descriptions"
            " ('question: {type: string}'), or a list of descriptions with a name each."
        )


def _is_description(given: Json) -> bool:
    return isinstance(given, dict) and bool(given) and _PROPERTY_KEYS.issuperset(given)


# ------------------------------------------------------------------------------------------------- parameters


def _sampling(model: Json, where: str) -> tuple[Sampling, tuple[str, ...]]:
    """The parameters a request can carry, and a warning for each that it cannot."""
    given = _parameters(model, where)
    known: dict[str, Json] = {}
    unused = []
    for name, value in given.items():
        if name in _PARAMETERS and value is not None:
            known[_PARAMETERS[name]] = _checked(_PARAMETERS[name], value, where)
        elif value is not None:
            unused.append(
                f"the model parameter {name!r} is not read: a request carries {', '.join(Sampling.__slots__)}"
            )
    return Sampling(**known), tuple(unused)


def _parameters(model: Json, where: str) -> dict[str, Json]:
    found = model if isinstance(model, dict) else {}
    given = {**(found.get("parameters") or {}), **(found.get("options") or {})} if _are_dicts(found) else None
    if given is None or not isinstance(model, dict | str | None):
        raise UsageError(f"{where}: model in the front matter: expected 'parameters:' with names and values below it.")
    return given


def _are_dicts(model: Mapping[str, Json]) -> bool:
    return all(isinstance(model.get(key), dict | None) for key in ("parameters", "options"))


def _checked(name: str, value: Json, where: str) -> Json:
    if name == "stop":
        stops = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
        if stops and all(isinstance(each, str) for each in stops):
            return stops
        wanted = "text or a list of texts"
    else:
        wanted = "a whole number" if name in _WHOLE else "a number"
        if isinstance(value, int if name in _WHOLE else int | float) and not isinstance(value, bool):
            return value
    raise UsageError(f"{where}: the model parameter {name} is {value!r}, expected {wanted}.")


# ------------------------------------------------------------------------------------------------- what is not read


def _refuse_other_engines(template: Json, where: str) -> None:
    """Prompty's other engine is mustache, whose {{ }} mean something else."""
    said = template
    for key in ("format", "type", "kind"):
        if isinstance(said, dict) and key in said:
            said = said[key]
    if isinstance(said, str) and said not in ("jinja2", "jinja", "prompty"):
        raise UsageError(f"{where}: the template engine is {said!r}, expected 'jinja2'. Rewrite the body as Jinja2.")


def _doubts(found: Mapping[str, Json]) -> Iterator[str]:
    for key, value in found.items():
        if key in _NOT_READ and value:
            yield _NOT_READ[key]
        elif key not in _KEYS and (near := get_close_matches(key, _KEYS, 1, 0.8)):
            yield f"the front matter's key {key!r} is not known. Was {near[0]!r} meant?"
    if isinstance(found.get("sample"), str):
        yield f"sample is {found['sample']!r}: a reference to a file is not followed"


def _kind(value: Json) -> str:
    return {str: "text", list: "list", dict: "mapping", bool: "yes or no"}.get(type(value), "number")
