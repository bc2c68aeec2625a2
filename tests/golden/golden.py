"""What is frozen stands in `data/*.json` and is compared whole; this compares, and runs commands.

    LLMGUARD_GOLDEN_WRITE=1 .venv/bin/python -m pytest tests/golden      writes the data anew, instead of comparing

Only what no two runs share is replaced, by name: times, ids, the folder, the process. A difference that is meant is written
anew and shows in the diff; a move or a new name inside of the package must show none.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WRITES = bool(os.environ.get("LLMGUARD_GOLDEN_WRITE"))
MEASURED = frozenset(
    "started_at finished_at at seq waited_s latency_s duration_s issued_at expires_at suspended_at owner hash".split()
)
"""Keys and columns whose values are times or follow from one, or name a process. Null stays null."""
ALWAYS_NEW = frozenset({"until"})
"""The same for what is also new where an old log is read."""


def compare(name: str, found: Any) -> None:
    """Fails with the first path that differs from `data/<name>.json`."""
    __tracebackhide__ = True
    path = HERE / "data" / f"{name}.json"
    text = json.dumps(found, indent=1, ensure_ascii=True) + "\n"
    if WRITES:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    before = path.read_text(encoding="utf-8")
    if text != before:
        where = next(differences(json.loads(before), json.loads(text), name), f"{name}: the order of keys")
        pytest.fail(f"frozen data differs.\n{where}", pytrace=False)


def differences(before: Any, after: Any, at: str) -> Iterator[str]:
    """Where two JSON values differ, depth first, in words."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            if key not in after or key not in before:
                yield f"{at}/{key}: {f'is gone: {before[key]!r:.400}' if key in before else f'is new: {after[key]!r:.400}'}"
            else:
                yield from differences(before[key], after[key], f"{at}/{key}")
        if list(before) != list(after):
            yield f"{at}: keys in another order: {list(before)}, now {list(after)}"
    elif isinstance(before, list) and isinstance(after, list):
        for number, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from differences(one, other, f"{at}/{number}")
        if len(before) != len(after):
            yield f"{at}: {len(before)} items, now {len(after)}"
    elif before != after or type(before) is not type(after):
        one, other = json.dumps(before, ensure_ascii=False), json.dumps(after, ensure_ascii=False)
        same = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
        begin, dots = (same - 60, "…") if same > 100 else (0, "")
        yield f"{at}:\n  frozen: {dots}{one[begin : begin + 300]}\n  now:    {dots}{other[begin : begin + 300]}"


class Names:
    """Replaces ids by their number, a folder and what was measured by a word, in any JSON value."""

    def __init__(self, *folders: Path) -> None:
        self.ids: dict[str, str] = {}
        self._folders = [str(folder) for folder in folders]
        self.exact = False
        """Times stay as they are, because they come from a file."""

    def learn(self, call_id: str, name: str) -> None:
        self.ids[call_id] = name

    def learn_all(self, call_ids: Iterable[str], name: str) -> None:
        for number, call_id in enumerate(call_ids, 1):
            self.learn(call_id, f"{name} {number}")

    def text(self, said: str) -> str:
        for folder in self._folders:
            said = said.replace(folder, "<folder>")
        for call_id, name in self.ids.items():
            said = said.replace(call_id, f"<{name}>").replace(f"-{call_id[-6:]}", f"-<{name}>")
        return said

    def __call__(self, value: Any, key: str = "") -> Any:
        measured = key in ALWAYS_NEW or (key in MEASURED and not self.exact)
        if measured and value is not None and not isinstance(value, dict | list):
            return f"<{key}>"
        if isinstance(value, dict):
            if value.get("key") == "secret":  # a row of the table `meta`
                return {**value, "value": "<secret>"}
            return {self.text(name): self(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self(item, key) for item in value]
        return self.text(value) if isinstance(value, str) else value


# ------------------------------------------------------------------------------------------------- logs as they are stored


def tables_of(path: Path, names: Names) -> dict[str, list[Any]]:
    """All rows of all tables, by their keys; bytes that are JSON as such."""
    with closing(sqlite3.connect(path)) as log:
        log.row_factory = sqlite3.Row
        tables = [name for (name,) in log.execute("select name from sqlite_master where type = 'table' order by name")]
        rows = {
            name: log.execute(_ROWS.get(name, f"select * from {name} order by rowid")).fetchall() for name in tables
        }
    return {
        name: [names({key: _plain(item) for key, item in zip(row.keys(), row, strict=True)}) for row in found]
        for name, found in rows.items()
    }


_ROWS = {"steps": "select steps.* from steps join calls on calls.id = call_id order by calls.rowid, address"}


def _plain(stored: Any) -> Any:
    if not isinstance(stored, bytes):
        return stored
    text = stored.decode("utf-8", "backslashreplace")
    try:
        return {"json": json.loads(text)}
    except ValueError:
        return {"bytes": text}


def structure_of(path: Path) -> list[str]:
    """The statements that made the tables and indexes."""
    with closing(sqlite3.connect(path)) as log:
        made = log.execute("select sql from sqlite_master where sql is not null order by type, name")
        return [re.sub(r"\s+", " ", sql) for (sql,) in made]


# ------------------------------------------------------------------------------------------------- commands

_SERVER = """
import atexit, contextlib, gc, importlib, json, os, runpy, sys, threading, traceback

LIBRARIES = {"llmguard", "sqlalchemy", "alembic", "pydantic", "jinja2", "tenacity", "rich", "yaml", "jsonschema_rs"}

def run(arguments):
    sys.argv = ["llmguard", *arguments]
    try:
        runpy.run_module("llmguard", run_name="__main__", alter_sys=True)
    except SystemExit as left:
        return left.code or 0

def child(folder, arguments, streams):
    os.chdir(folder)
    for number, (stream, mode) in enumerate(zip(streams, "rww")):
        os.dup2(os.open(stream, os.O_RDONLY if mode == "r" else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, closefd=False) for number, mode in enumerate("rww"))
    status = run(arguments)
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush(), sys.stderr.flush()
    with open(streams[0], "w") as told:
        json.dump([name for name in sys.modules if name.partition(".")[0] in LIBRARIES], told)
    os._exit(status)  # the rest, taking a large program apart, takes longer than the command

with contextlib.redirect_stdout(None), contextlib.redirect_stderr(open(os.devnull, "w")):
    run(["log", "list", "--log", "sqlite:////no/such/log"])  # so that each command finds everything imported
gc.freeze()
while line := sys.stdin.readline():
    forked = os.fork()
    if forked == 0:
        try:
            child(*json.loads(line))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(70)
    status = os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
    with contextlib.suppress(ValueError), open(json.loads(line)[2][0]) as told:
        for name in json.load(told):  # the next command finds imported what this one needed
            importlib.import_module(name)
    print(status, flush=True)
"""
"""`python -m llmguard ...` again and again, each in a process of its own that has not to import everything first."""


class Commands:
    """Runs `llmguard ...` in `folder`: exit status, standard output and standard error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("LLMGUARD_", "OPENAI_"))}
        environment |= {"PYTHONPATH": str(ROOT), "TZ": "UTC", "COLUMNS": "100", "NO_COLOR": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object, stdin: str = "") -> tuple[int, str, str]:
        streams = [self.folder / f".{name}" for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin)
        assert self._server.stdin is not None and self._server.stdout is not None
        print(
            json.dumps([str(self.folder), [*map(str, arguments)], [*map(str, streams)]]),
            file=self._server.stdin,
            flush=True,
        )
        status = int(self._server.stdout.readline())
        said = [stream.read_text(encoding="utf-8") for stream in streams[1:]]
        assert "Traceback" not in said[1], said[1]
        return status, said[0], said[1]

    def json(self, *arguments: object, status: int = 0, stdin: str = "") -> list[Any]:
        """The lines that `--json` printed."""
        found, out, err = self(*arguments, "--json", stdin=stdin)
        assert found == status, f"{arguments}: exit status {found}\n{out}\n{err}"
        return [json.loads(line) for line in out.splitlines()]

    def misused(self, *arguments: object) -> None:
        """Exit status 2, one line on standard error, nothing else."""
        found, out, err = self(*arguments)
        assert (found, out, err.startswith("llmguard: ")) == (2, "", True), f"{arguments}: {found}\n{out}\n{err}"

    def close(self) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


def column(rows: Iterable[Any], key: str) -> list[Any]:
    return [row[key] for row in rows]
