"""`llmguard promote`: logged calls into case files, which pytest replays for ever after."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from llmguard.cli.arguments import LOG_URL, AsJson, LogUrl, Meta, OfGuard, OfStatus, Since, Until, Where, search
from llmguard.cli.terminal import console, emit, say, styled
from llmguard.core.canonical import EncodingError, Json, decode, encode
from llmguard.core.errors import LogError, UsageError
from llmguard.core.record import Record
from llmguard.log import OutcomeStore
from llmguard.log.rows import RUNNING
from llmguard.operations.logged_calls import Search
from llmguard.operations.logs import existing_log, full_id
from llmguard.replay.cases import Case, Expect, case_of, expect_of_review, expect_of_status, failure_signature, slug_of
from llmguard.replay.cases.files import CASES, case_path, case_paths, read_case, write_case
from llmguard.replay.cases.promotion import ReviewLike

EXPECTED = {
    "accepted": "expects a model's value",
    "refused": "expects that no model's value is handed out",
    "value": "expects its value",
}

EXAMPLES = (
    "Examples: llmguard promote 1a206f9c · llmguard promote 1a206f9c --expect '{\"total\": 120}'"
    " · llmguard promote --guard triage --since 7d --where failure=schema"
)


@dataclass(slots=True)
class Promoted:
    """What became of the calls that were meant."""

    written: list[tuple[Path, Case]] = field(default_factory=list)
    alike: int = 0
    there: int = 0
    without: list[str] = field(default_factory=list)


def promote(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="Outcomes' ids, or as much of their beginnings as is unique.", show_default=False
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="accepted|refused|VALUE|REVIEW",
            help="What must hold: a model's value is accepted; none is handed out; the outcome has this value (JSON); or"
            " what the newest review says. Not given: the review, if there is one; else a failed call must be accepted"
            " (so the test is red until the guard is mended), a model's value must stay as it is, and where no model"
            " replied none must be handed out.",
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update",
            help="Renew cases that are there. Without --expect or a review such a case keeps what it expects.",
        ),
    ] = False,
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the cases are.")] = CASES,
    slug: Annotated[
        str,
        typer.Option("--slug", metavar="NAME", help="The file's name; else it says what failed.", show_default=False),
    ] = "",
    since: Since = None,
    until: Until = None,
    meta: Meta = None,
    status: OfStatus = None,
    guard: OfGuard = None,
    where: Where = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="In bulk, at most so many cases.")] = 100,
    log: LogUrl = LOG_URL,
    as_json: AsJson = False,
) -> None:
    """Write logged calls as case files, DIR/<guard>/<slug>.json: `pytest` replays them, without a model and a network.

    In bulk (by --guard, --since, --where ... instead of ids) one case is written for each kind of failure: the newest call
    of those that failed alike, unless there is a case of that failure already.
    """
    bulk = bool(since or until or meta or status or guard or where)
    if bool(ids) == bulk:
        raise UsageError("say which calls to promote: either ids, or options such as --guard triage --since 7d.")
    if slug and (bulk or len(ids or ()) > 1):
        raise UsageError("--slug names one file. Give it with one id.")
    opened = existing_log(log)
    asked = _Asked(opened, _expectation(expect), folder, update)
    if bulk:
        promoted = asked.in_bulk(search(since, until, meta, status, guard, where), limit)
    else:
        promoted = asked.by_id([full_id(opened, each) for each in ids or ()], slug)
    _tell(promoted, as_json)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `--expect` said. `by_review`: the newest review decides."""

    expect: Expect | None = None
    by_review: bool = False


def _expectation(given: str | None) -> Wanted:
    word = (given or "").strip().lower()
    if given is None or word == "review":
        return Wanted(by_review=given is not None)
    if word == "accepted":
        return Wanted(Expect(kind="accepted"))
    if word == "refused":
        return Wanted(Expect(kind="refused"))
    try:
        value = decode(given)
        encode(value)
    except (ValueError, RecursionError, EncodingError):
        text = f" A text is written in quotes: --expect '\"{given}\"'." if re.fullmatch(r"[\w -]{1,40}", given) else ""
        raise UsageError(f"--expect {given[:80]!r} is none of accepted, refused, REVIEW, and no JSON.{text}") from None
    return Wanted(Expect(kind="value", value=(value,)))


class _Asked:
    """One use of the command: the log, what must hold, and where the cases go."""

    def __init__(self, log: OutcomeStore, wanted: Wanted, folder: Path, update: bool) -> None:
        self.log, self.wanted, self.folder, self.update = log, wanted, folder, update

    def by_id(self, ids: list[str], slug: str) -> Promoted:
        cases = [self._case(self._record(call_id), slug) for call_id in dict.fromkeys(ids)]
        return Promoted(written=[(self._write(case), case) for case in cases])

    def in_bulk(self, asked: Search, limit: int) -> Promoted:
        promoted, seen = Promoted(), set[str]()
        there = _signatures(self.folder)
        for row in self.log.find(**asked, limit=None):
            if len(promoted.written) == limit or row.status == RUNNING:
                continue
            record = self._record(row.id)
            signature = failure_signature(record)
            if signature in seen:
                promoted.alike += 1
            elif signature in there and not self.update:
                promoted.there += 1
            else:
                self._add(promoted, record, there.get(signature, ""))
            seen.add(signature)
        return promoted

    def _add(self, promoted: Promoted, record: Record, slug: str) -> None:
        """A call of which nobody can say what must hold is left out, and told."""
        try:
            case = self._case(record, slug)
        except UsageError as error:
            promoted.without.append(f"{record.opening.id}: {error}")
        else:
            promoted.written.append((self._write(case), case))

    def _record(self, call_id: str) -> Record:
        record = self.log.get(call_id)
        if record is None:
            raise LogError(f"the call {call_id!r} is no longer in the log.")
        return record

    def _case(self, record: Record, slug: str) -> Case:
        review, slug = self._review(record.opening.id), slug or slug_of(record)
        expect = (
            self.wanted.expect
            or self._reviewed(record, review)
            or self._kept(record.opening.guard, slug)
            or expect_of_status(record)
        )
        return case_of(record, expect, version=_version(), slug=slug, review=review)

    def _review(self, call_id: str) -> ReviewLike | None:
        reviews = self.log.reviews_of(call_id)
        return reviews[-1] if reviews else None

    def _reviewed(self, record: Record, review: ReviewLike | None) -> Expect | None:
        if review is not None and record.outcome is not None:
            return expect_of_review(review, record.outcome)
        if self.wanted.by_review:
            raise UsageError(
                f"call {record.opening.id!r} has no review. `llmguard log review` gives one, or say --expect accepted,"
                " refused or a value."
            )
        return None

    def _kept(self, guard: str, slug: str) -> Expect | None:
        """What the case expects that is to be renewed."""
        path = case_path(self.folder, guard, slug)
        return read_case(path).expect if self.update and path.is_file() else None

    def _write(self, case: Case) -> Path:
        return write_case(self.folder, case, update=self.update)


def _signatures(folder: Path) -> dict[str, str]:
    """The failures of which there are cases, with their slugs."""
    cases = [read_case(path) for path in case_paths(folder)]
    return {str(case.provenance.get("signature", "")): case.slug for case in cases}


def _version() -> str:
    try:
        return version("llmguard-framework")
    except PackageNotFoundError:
        return "from its sources"


# ------------------------------------------------------------------------------------------------- what is told


def _tell(promoted: Promoted, as_json: bool) -> None:
    if as_json:
        emit(_promoted_json(promoted))
        return
    for path, case in promoted.written:  # a path on one line, however narrow the terminal: it is to be copied
        told = Text.assemble(styled(str(path)), "  ", (EXPECTED[case.expect.kind], "dim"))
        console().print(told, soft_wrap=True)
    left_out = _left_out(promoted)
    if not promoted.written:
        left_out.append("no case was written" if left_out else "no such calls, so no case was written")
    for sentence in left_out:
        say(styled(sentence, "dim"), stderr=True)


def _left_out(promoted: Promoted) -> list[str]:
    told = [f"left out: {each}" for each in promoted.without]
    if promoted.alike:
        told.append(f"left out: {promoted.alike} that failed like a newer one")
    if promoted.there:
        told.append(f"left out: {promoted.there} of which there is a case already; --update renews them")
    return told


def _promoted_json(promoted: Promoted) -> Json:
    return {
        "written": [
            {
                "path": str(path),
                "guard": case.guard,
                "slug": case.slug,
                "outcome": case.provenance["outcome"],
                "expect": case.expect.kind,
            }
            for path, case in promoted.written
        ],
        "left_out": {"failed_alike": promoted.alike, "already_there": promoted.there, "undecided": promoted.without},
    }
