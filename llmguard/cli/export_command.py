"""`llmguard log export`: past calls as rows to fine-tune or evaluate a model with."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl
from llmguard.cli.log_commands import Meta, OfGuard, OfStatus, Since, Until, Where, search
from llmguard.cli.terminal import NEGATIVE, emit, say
from llmguard.core.canonical import Json
from llmguard.core.errors import UsageError
from llmguard.core.record import Record
from llmguard.core.safe_text import safe_json
from llmguard.engine.ladder import ModelRung
from llmguard.engine.policy import Policy
from llmguard.log import OutcomeLog
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
    refuse_share,
    stored_prompts,
)
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logged_calls import Search, records, reviews_of
from llmguard.operations.logs import existing_log
from llmguard.operations.new_files import NewFiles
from llmguard.prompts import Prompt

STANDARD_OUTPUT = "-"
FEWEST = 10
"""Rows that OpenAI wants at least for fine-tuning (its guide "Supervised fine-tuning")."""


def export(
    form: Annotated[str, typer.Option("--format", metavar="sft|dpo|evals", help="What the rows are for.")] = "sft",
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the files go; - is standard output.")
    ] = STANDARD_OUTPUT,
    split: Annotated[
        float, typer.Option("--split", metavar="SHARE", help="The share of the inputs that goes to validation.")
    ] = 0.0,
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    with_guard: Annotated[
        list[str] | None,
        typer.Option("--with-guard", metavar="MODULE:GUARD", help="Needed where a prompt is a function. Several: all."),
    ] = None,
    keep_redacted: Annotated[
        bool, typer.Option("--keep-redacted", help="Also rows in which a secret was redacted.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Write past calls as datasets: sft and dpo for OpenAI's fine-tuning, evals for OpenAI's open evals.

    A row's messages are those that were sent, its answer is the value that passed or a reviewer's correction. In evals
    each row has its outcome's id; fine-tuning takes no keys but its own, so there FORMAT.ids.jsonl says line by line
    which outcome a row is of. Exit status 1 if there is no row.
    """
    dataset = Dataset(_format(form), refuse_share(split), keep_redacted)
    if out == STANDARD_OUTPUT and (split or as_json):
        raise UsageError(
            f"{'--split' if split else '--json'} and --out - both want standard output. Give a folder: --out FOLDER."
        )
    asked = search(since, until, meta, status, guard, where)
    found = Examples(existing_log(log), with_guard or ())
    taken = (row for record in found.matching(asked) for row in dataset.take(found.example(record)))
    files = _printed(taken) if out == STANDARD_OUTPUT else _written(taken, Path(out), dataset, force)
    if as_json:
        emit({"rows": dict(dataset.rows), "left_out": dict(dataset.left_out), "files": files})
    else:
        say(*_summary(dataset, files), stderr=True)
    if not dataset.rows.total():
        raise typer.Exit(NEGATIVE)


def _format(given: str) -> Format:
    if given not in get_args(Format):
        raise UsageError(f"--format {given!r} is none. A format is one of: {', '.join(get_args(Format))}.")
    return cast(Format, given)


class Examples:
    """The calls of a log as examples; each prompt is compiled once."""

    def __init__(self, log: OutcomeLog, named: Sequence[str]) -> None:
        self._log, self._named = log, named
        self._prompts: dict[str, tuple[Json, Sequence[Render]] | LeftOut] = {}

    def matching(self, asked: Search) -> Iterator[Record]:
        return records(self._log, asked)

    def example(self, record: Record) -> Example | LeftOut:
        """Reviews and prompts are only asked for where they matter."""
        if record.outcome is None:
            return "not finished"
        reviews = reviews_of(self._log, record.opening.id)
        answer = answer_of(record.outcome, reviews)
        if not isinstance(answer, Answer):
            return answer
        known = self._prompt(record.opening.fingerprint)
        return known if isinstance(known, str) else example_of(record, *known, reviews)

    def _prompt(self, fingerprint: str) -> tuple[Json, Sequence[Render]] | LeftOut:
        if fingerprint not in self._prompts:
            explained = self._log.explain(fingerprint)
            self._prompts[fingerprint] = (
                "the guard is not in the log" if explained is None else self._renders(explained["description"])
            )
        return self._prompts[fingerprint]

    def _renders(self, description: Json) -> tuple[Json, Sequence[Render]]:
        """The stored prompt, then the one of a guard that was given; a digest decides which was sent."""
        given = self._given.get(description["name"], [])
        functions = prompt_functions(description)
        if functions and not given:
            raise UsageError(
                f"guard {description['name']!r} makes its prompt in the function {functions[0]!r}, and the log holds no"
                " functions. Name the guard: --with-guard module:attribute; or leave it out: --guard of another."
            )
        return description, [*_compiled(description), *given]

    @cached_property
    def _given(self) -> dict[str, list[Render]]:
        guards = [find_guard(Target(named=named)) for named in self._named]
        return {guard.name: [prompt.render for prompt in prompts_of(guard.policy)] for guard in guards}


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
    except UsageError:
        return []


# ------------------------------------------------------------------------------------------------- where rows go


def _printed(taken: Iterator[DatasetRow]) -> list[str]:
    for row in taken:
        sys.stdout.buffer.write(_line(row.data))
    sys.stdout.buffer.flush()
    return []


def _written(taken: Iterator[DatasetRow], folder: Path, dataset: Dataset, force: bool) -> list[str]:
    """The names are ours, whatever is in the rows. Where there is no row there is no file."""
    first = next(taken, None)
    if first is None:
        return []
    sides = ("train", "validation") if dataset.share else ("train",)
    ids = [] if dataset.form == "evals" else [f"{dataset.form}.ids.jsonl"]
    names = [*(f"{dataset.form}.{side}.jsonl" for side in sides), *ids]
    lines = Counter[str]()
    with NewFiles(folder, names, force=force) as files:
        for row in chain((first,), taken):
            name = f"{dataset.form}.{row.side}.jsonl"
            lines[name] += 1
            files.write(name, _line(row.data))
            for beside in ids:
                files.write(beside, _line({"file": name, "line": lines[name], "id": row.id}))
    return [str(folder / name) for name in names]


def _line(data: Json) -> bytes:
    """One line whatever the model said: everything that could end a line, or move a terminal, is escaped."""
    return safe_json(data).encode() + b"\n"


def _summary(dataset: Dataset, files: Sequence[str]) -> list[Text]:
    by_side = ", ".join(f"{count} {side}" for side, count in sorted(dataset.rows.items()) if count)
    lines = [Text(f"{dataset.rows.total()} rows" + (f" ({by_side})" if dataset.share else ""), "bold")]
    lines += [Text(f"  {name}", "dim") for name in files]
    if dataset.left_out:
        lines.append(Text(f"left out: {dataset.left_out.total()}"))
        lines += [Text(f"{count:8}  {reason}") for reason, count in dataset.left_out.most_common()]
    if dataset.left_out["not the request that was sent"]:
        lines.append(
            Text("A request that the log's own prompt does not make may be made by the guard: --with-guard.", "dim")
        )
    if dataset.form != "evals" and 0 < dataset.rows["train"] < FEWEST:
        lines.append(Text(f"OpenAI wants at least {FEWEST} rows to fine-tune a model.", "yellow"))
    return lines
