"""Prompts and schemas as a user may give them: files, text, Python types, functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from llmguard.core.canonical import Json, decode
from llmguard.core.errors import UsageError
from llmguard.prompts import Prompt, compile_prompt
from llmguard.schema import Schema, compile_schema

PromptSource: TypeAlias = "str | Path | Callable[..., object]"
SchemaSource: TypeAlias = "str | Path | Mapping[str, Json] | object"

_PROMPT_FILES = (".prompty", ".j2", ".jinja", ".jinja2", ".txt", ".md")


def load_schema(source: SchemaSource, name: str) -> Schema:
    """A schema from a file (its siblings may be referred to), JSON text, a dict or a Python type."""
    if isinstance(source, Schema):
        return source
    if isinstance(source, str) and source.lstrip().startswith("{"):
        return compile_schema(source, where=f"schema of guard {name!r}")
    if isinstance(source, str | Path):
        path = Path(source)
        text = _read(path, "schema")
        return compile_schema(text, registry=_siblings(path), where=str(path))
    return compile_schema(source, where=f"schema of guard {name!r}")


def load_prompt(source: PromptSource, name: str) -> Prompt:
    """A prompt from a file, a template or a function."""
    if isinstance(source, Path) or (isinstance(source, str) and _names_a_file(source)):
        path = Path(source)
        return compile_prompt(_read(path, "prompt"), name=path.stem, where=str(path), is_file=path.suffix == ".prompty")
    if not isinstance(source, str) and not callable(source):
        raise UsageError(
            f"prompt of guard {name!r} is a {type(source).__name__}. Give a file name, a template, or a function of inputs."
        )
    return compile_prompt(source, name=name, where=f"prompt of guard {name!r}")


def _names_a_file(text: str) -> bool:
    return "\n" not in text and "{{" not in text and text.endswith(_PROMPT_FILES)


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"{what} file {str(path)!r} does not exist (looked in {str(Path.cwd())!r}). Give its path from there."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} file {str(path)!r} cannot be read as UTF-8 text: {error}.") from None


def _siblings(path: Path) -> dict[str, Json]:
    """The other schemas of the folder, by name, for local references; a file that is not JSON is no schema."""
    schemas = {}
    for other in sorted(path.parent.glob("*.json")):
        if other.name != path.name:
            try:
                schemas[other.name] = decode(other.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                continue
    return schemas
