"""Exporting past calls as datasets: which calls, with which prompts, and where the rows are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.record import Record
from llmguard.core.safe_text import safe_json
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.guard.guard import Guard
from llmguard.log import OutcomeStore
from llmguard.log.query import Query
from llmguard.operations.datasets import (
    Answer,
    Dataset,
    DatasetRow,
    Example,
    Format,
    LeftOut,
    Render,
    answer_of,
    example_of,
    prompt_functions,
    stored_prompts,
    valid_share,
)
from llmguard.operations.logged_calls import records
from llmguard.operations.new_files import NewFiles
from llmguard.prompts import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """Rows by side of the split, calls that gave none by reason, and the files that were written."""

    rows: dict[str, int]
    left_out: dict[str, int]
    files: tuple[str, ...] = ()

    @property
    def row_count(self) -> int:
        return sum(self.rows.values())

    def to_json(self) -> dict[str, Json]:
        """What `llmguard log export --json` prints."""
        return {"rows": self.rows, "left_out": self.left_out, "files": list(self.files)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """`split`: the share of the inputs that goes to validation. `guards`: those whose prompt is a function, which no log
    holds. `keep_redacted`: also rows in which a secret was redacted."""

    form: Format = "sft"
    split: float = 0.0
    keep_redacted: bool = False
    guards: Iterable[Guard[Json]] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        valid_share(self.split)


def export_to_folder(
    log: OutcomeStore, query: Query, folder: Path, options: ExportOptions | None = None, *, force: bool = False
) -> ExportReport:
    """Write the calls that match as `FORMAT.train.jsonl`, with a split also `FORMAT.validation.jsonl`.

    Fine-tuning accepts no keys but its own, so for sft and dpo `FORMAT.ids.jsonl` has the outcome's id of each line.
    Without any row no file is written.

    >>> from llmguard import Guard, OutcomeLog
    >>> from llmguard.testing import ScriptedModel
    >>> log = OutcomeLog.open("sqlite:///exported.db")
    >>> guard = Guard("size", prompt="Size of {{ it }}?", schema={"enum": ["S", "L"]}, models=[ScriptedModel(['"L"'])], log=log)
    >>> accepted = guard.run(it="a whale")
    >>> report = export_to_folder(log, Query(guard="size"), Path("data"))
    >>> report.rows, report.files
    ({'train': 1}, ('data/sft.train.jsonl', 'data/sft.ids.jsonl'))

    Raises:
        UsageError: a prompt is a function of a guard that is not in `options.guards`, or a file exists already.
    """
    options = options or ExportOptions()
    dataset = _dataset(options)
    files = _write_files(_rows(log, query, dataset, options), folder, dataset, force)
    return _report(dataset, files)


def export_to(
    write: Callable[[bytes], object], log: OutcomeStore, query: Query, options: ExportOptions | None = None
) -> ExportReport:
    """The same without a split, each line given to `write`.

    >>> from llmguard import Guard
    >>> from llmguard.testing import ScriptedModel
    >>> guard = Guard("size", prompt="Size?", schema={"enum": ["S", "L"]}, models=[ScriptedModel(['"L"'])], log=None)
    >>> accepted, lines = guard.run(), []
    >>> report = export_to(lines.append, guard.log, Query(), ExportOptions(form="evals"))
    >>> b'"ideal":' in lines[0], report.row_count
    (True, 1)
    """
    options = options or ExportOptions()
    dataset = _dataset(options)
    for row in _rows(log, query, dataset, options):
        write(_line(row.data))
    return _report(dataset, ())


def _dataset(options: ExportOptions) -> Dataset:
    return Dataset(options.form, options.split, options.keep_redacted)


def _report(dataset: Dataset, files: Sequence[str]) -> ExportReport:
    return ExportReport(rows=dict(dataset.rows), left_out=dict(dataset.left_out), files=tuple(files))


def _rows(log: OutcomeStore, query: Query, dataset: Dataset, options: ExportOptions) -> Iterator[DatasetRow]:
    examples = _Examples(log, options.guards)
    return (row for record in records(log, query) for row in dataset.add(examples.example(record)))


class _Examples:
    """The calls of a log as examples; each prompt is compiled once."""

    def __init__(self, log: OutcomeStore, guards: Iterable[Guard[Json]]) -> None:
        self._log, self._guards = log, guards
        self._prompts: dict[str, tuple[Json, Sequence[Render]] | LeftOut] = {}

    def example(self, record: Record) -> Example | LeftOut:
        """Prompts are read only for calls that have an answer, so that others need no guard."""
        if record.outcome is None:
            return "not finished"
        reviews = self._log.reviews_of(record.opening.id)
        answer = answer_of(record.outcome, reviews)
        if not isinstance(answer, Answer):
            return answer
        prompts = self._prompts_of(record.opening.fingerprint)
        return prompts if isinstance(prompts, str) else example_of(record, *prompts, reviews)

    def _prompts_of(self, fingerprint: str) -> tuple[Json, Sequence[Render]] | LeftOut:
        if fingerprint not in self._prompts:
            explained = self._log.explain(fingerprint)
            self._prompts[fingerprint] = (
                "the guard is not in the log" if explained is None else self._renders(explained["description"])
            )
        return self._prompts[fingerprint]

    def _renders(self, description: Json) -> tuple[Json, Sequence[Render]]:
        """The stored prompts, then those of the guard of this name; the digest decides which was sent."""
        of_guard = self._renders_by_guard.get(description["name"], [])
        functions = prompt_functions(description)
        if functions and not of_guard:
            raise UsageError(
                f"guard {description['name']!r} makes its prompt in the function {functions[0]!r}, and the log holds no"
                " functions. Name the guard: --with-guard module:attribute; or leave it out: --guard of another."
            )
        return description, [*_compiled(description), *of_guard]

    @cached_property
    def _renders_by_guard(self) -> dict[str, list[Render]]:
        """Read when the first prompt is: until then no guard needs to be found."""
        return {guard.name: [prompt.render for prompt in prompts_of(guard.policy)] for guard in self._guards}


def prompts_of(policy: Policy) -> Iterator[Prompt]:
    """A guard's prompt, and those of its rungs."""
    yield policy.prompt
    models = [rung for rung in policy.ladder if isinstance(rung, ModelRung)]
    for rung in (each for model in models for each in (model, *model.variants)):
        if rung.prompt is not None:
            yield rung.prompt


def _compiled(description: Json) -> list[Render]:
    try:
        return stored_prompts(description)
    except UsageError:  # redaction broke the template: its rows are counted as left out
        return []


def _write_files(rows: Iterator[DatasetRow], folder: Path, dataset: Dataset, force: bool) -> list[str]:
    """No file name depends on the content of a row."""
    first = next(rows, None)
    if first is None:
        return []
    sides = ("train", "validation") if dataset.share else ("train",)
    ids = [] if dataset.form == "evals" else [f"{dataset.form}.ids.jsonl"]
    names = [*(f"{dataset.form}.{side}.jsonl" for side in sides), *ids]
    lines = Counter[str]()
    with NewFiles(folder, names, force=force) as files:
        for row in chain((first,), rows):
            name = f"{dataset.form}.{row.side}.jsonl"
            lines[name] += 1
            files.write(name, _line(row.data))
            for ids_file in ids:
                files.write(ids_file, _line({"file": name, "line": lines[name], "id": row.id}))
    return [str(folder / name) for name in names]


def _line(data: Json) -> bytes:
    """One line whatever the model wrote: what could end a line, or control a terminal, is escaped."""
    return safe_json(data).encode() + b"\n"
