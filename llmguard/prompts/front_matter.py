"""The front matter of a Prompty file: inputs with their defaults, and the model's parameters.

Prompty's connections and models are not read: a guard names its models.
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
    """What a front matter declares. `sample` are values to try the prompt with, `defaults` replace missing inputs."""

    names: frozenset[str] = frozenset()
    defaults: Mapping[str, Json] = field(default_factory=dict)
    sample: Mapping[str, Json] = field(default_factory=dict)
    sampling: Sampling = PROVIDERS_DEFAULTS
    warnings: tuple[str, ...] = ()


def split_front_matter(text: str, where: str, is_file: bool) -> tuple[str, str]:
    """Front matter and body; the body begins with as many empty lines as were before it, so that its lines keep their
    numbers. In a template that is no file, a '---' that is never closed is text."""
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
    content = _load(front, where) if front.strip() else None
    if content is None:
        return Declared()
    if not isinstance(content, dict):
        raise UsageError(
            f"{where}: the front matter is a {_kind(content)}, expected names with values ('name: invoice')."
        )
    _refuse_other_engines(content.get("template"), where)
    defaults, sample, names = _inputs(content, where)
    sampling, unused = _sampling(content.get("model"), where)
    return Declared(
        names=frozenset(names),
        defaults=defaults,
        sample=sample,
        sampling=sampling,
        warnings=(*_warnings(content), *unused),
    )


# ------------------------------------------------------------------------------------------------- YAML


def _load(front: str, where: str) -> Json:
    import yaml

    try:
        node = yaml.compose(front, Loader=yaml.SafeLoader)
        if node is not None:
            _refuse_repeats_and_aliases(node, where, set())
        content = yaml.safe_load(front)
    except yaml.YAMLError as error:
        raise UsageError(_yaml_message(error, where)) from None
    except (RecursionError, ValueError) as error:  # ValueError: a date such as 2024-13-45, an integer of 5,000 digits
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"{where}: the front matter cannot be read as YAML: {problem}. Put text in quotes.") from None
    return _as_json(content, where)


def _yaml_message(error: Any, where: str) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 2}" if mark else ""  # marks count from 0, and the line '---' is before them
    problem = getattr(error, "problem", None) or str(error)
    return f"{where}{line}: the front matter cannot be read as YAML: {problem}. Put text with ': ' or '#' in quotes."


def _refuse_repeats_and_aliases(node: Any, where: str, known: set[int]) -> None:
    """Refuse a repeated key (the last would win silently), and aliases (nine of them nested make a billion values)."""
    import yaml

    line = node.start_mark.line + 2
    if id(node) in known:
        raise UsageError(f"{where}, line {line}: the front matter uses an alias (*name). Write the value out.")
    known.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        if twice is not None:
            raise UsageError(f"{where}, line {line}: {twice!r} is twice in the front matter. Keep one of them.")
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for each in child if isinstance(child, tuple) else (child,):
                _refuse_repeats_and_aliases(each, where, known)


def _as_json(content: Json, where: str) -> Json:
    """The content of the front matter as JSON, as inputs are: YAML also has dates, sets and keys that are not strings."""
    try:
        plain = json_roundtrip(content)
    except EncodingError as error:
        raise UsageError(
            f"{where}: the front matter has a value that is not JSON: {error}. Put it in quotes."
        ) from None
    if plain != content:
        raise UsageError(f"{where}: the front matter has a value that is not JSON, such as a date. Put it in quotes.")
    return plain


# ------------------------------------------------------------------------------------------------- inputs


def _inputs(content: Mapping[str, Json], where: str) -> tuple[dict[str, Json], dict[str, Json], set[str]]:
    """Defaults, sample values, and all names. A bare value, `question: "Why?"`, is a sample, as in Prompty."""
    defaults: dict[str, Json] = {}
    sample: dict[str, Json] = {}
    names: set[str] = set()
    for name, entry in _by_name(content.get("inputs"), where):
        names.add(name)
        description = entry if _is_description(entry) else {"sample": entry}
        if "default" in description or description.get("required") is False:
            defaults[name] = description.get("default")
        for key in ("example", "sample"):
            if description.get(key) is not None:
                sample[name] = description[key]
    if isinstance(content.get("sample"), dict):
        sample |= content["sample"]
    return defaults, sample, names | sample.keys()


def _by_name(inputs: Json, where: str) -> Iterator[tuple[str, Json]]:
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


def _is_description(entry: Json) -> bool:
    return isinstance(entry, dict) and bool(entry) and _PROPERTY_KEYS.issuperset(entry)


# ------------------------------------------------------------------------------------------------- parameters


def _sampling(model: Json, where: str) -> tuple[Sampling, tuple[str, ...]]:
    """The parameters that a request can have, and a warning for each other one."""
    parameters = _parameters(model, where)
    known: dict[str, Json] = {}
    unused = []
    for name, value in parameters.items():
        if name in _PARAMETERS and value is not None:
            known[_PARAMETERS[name]] = _checked(_PARAMETERS[name], value, where)
        elif value is not None:
            unused.append(
                f"the model parameter {name!r} is not read: a request carries {', '.join(Sampling.__slots__)}"
            )
    return Sampling(**known), tuple(unused)


def _parameters(model: Json, where: str) -> dict[str, Json]:
    settings = model if isinstance(model, dict) else {}
    parameters = None
    if _are_dicts(settings):
        parameters = {**(settings.get("parameters") or {}), **(settings.get("options") or {})}
    if parameters is None or not isinstance(model, dict | str | None):
        raise UsageError(f"{where}: model in the front matter: expected 'parameters:' with names and values below it.")
    return parameters


def _are_dicts(model: Mapping[str, Json]) -> bool:
    return all(isinstance(model.get(key), dict | None) for key in ("parameters", "options"))


def _checked(name: str, value: Json, where: str) -> Json:
    if name == "stop":
        stops = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
        if stops and all(isinstance(each, str) for each in stops):
            return stops
        expected = "text or a list of texts"
    else:
        expected = "a whole number" if name in _WHOLE else "a number"
        if isinstance(value, int if name in _WHOLE else int | float) and not isinstance(value, bool):
            return value
    raise UsageError(f"{where}: the model parameter {name} is {value!r}, expected {expected}.")


# ------------------------------------------------------------------------------------------------- what is not read


def _refuse_other_engines(template: Json, where: str) -> None:
    """Refuse Prompty's other engine, mustache: its {{ }} mean something else."""
    engine = template
    for key in ("format", "type", "kind"):
        if isinstance(engine, dict) and key in engine:
            engine = engine[key]
    if isinstance(engine, str) and engine not in ("jinja2", "jinja", "prompty"):
        raise UsageError(f"{where}: the template engine is {engine!r}, expected 'jinja2'. Rewrite the body as Jinja2.")


def _warnings(content: Mapping[str, Json]) -> Iterator[str]:
    for key, value in content.items():
        if key in _NOT_READ and value:
            yield _NOT_READ[key]
        elif key not in _KEYS and (near := get_close_matches(key, _KEYS, 1, 0.8)):
            yield f"the front matter's key {key!r} is not known. Was {near[0]!r} meant?"
    if isinstance(content.get("sample"), str):
        yield f"sample is {content['sample']!r}: a reference to a file is not followed"


def _kind(value: Json) -> str:
    return {str: "text", list: "list", dict: "mapping", bool: "yes or no"}.get(type(value), "number")
