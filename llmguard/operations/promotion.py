"""Logged calls into case files: which calls, what each case expects, and where its file goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Unpack

from llmguard.core.canonical import Json
from llmguard.core.errors import LogError, UsageError
from llmguard.core.record import Record
from llmguard.log import OutcomeStore
from llmguard.log.query import Query, QueryOptions, query_of
from llmguard.log.rows import RUNNING
from llmguard.operations.logs import full_id
from llmguard.replay.cases import Case, Expect, case_of, expect_of_review, expect_of_status, failure_key, slug_of
from llmguard.replay.cases.files import CASES, case_path, case_paths, read_case, write_case
from llmguard.replay.cases.promotion import CaseReview


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionReport:
    """The files that were written, each with its case; how many calls were left out because they failed like a newer one,
    or because there is a case of that failure; and for each call that decides nothing a sentence with its id."""

    written: tuple[tuple[Path, Case], ...] = ()
    failed_alike: int = 0
    already_there: int = 0
    undecided: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """What `llmguard promote --json` prints."""
        return {
            "written": [
                {
                    "path": str(path),
                    "guard": case.guard,
                    "slug": case.slug,
                    "outcome": case.provenance["outcome"],
                    "expect": case.expect.kind,
                }
                for path, case in self.written
            ],
            "left_out": {
                "failed_alike": self.failed_alike,
                "already_there": self.already_there,
                "undecided": list(self.undecided),
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOptions:
    """What a case expects: `expect`, else what the newest review says, else (with `update`) what its file expects, else
    what follows from the call's status. `needs_review`: a call without a review is a UsageError. `update`: a case file
    that exists is replaced."""

    expect: Expect | None = None
    needs_review: bool = False
    update: bool = False


def promote(
    log: OutcomeStore,
    ids: Iterable[str],
    folder: Path = CASES,
    *,
    options: CaseOptions = CaseOptions(),  # frozen
    slug: str = "",
) -> PromotionReport:
    """Write calls as case files, `folder/<guard>/<slug>.json`: all of them or, if one cannot be a case, none.

    Args:
        ids: of the calls, or unique beginnings of them.
        slug: the file's name; else it says what failed.

    Raises:
        LogError: a call is not in the log.
        UsageError: a call cannot be a case, or its file exists.

    >>> from llmguard import Guard
    >>> from llmguard.testing import ScriptedModel
    >>> guard = Guard("age", prompt="How old is {{ who }}?", schema=int, models=[ScriptedModel(["36"])],
    ...               log="sqlite:///promoted.db")
    >>> outcome = guard.run(who="Ada")
    >>> report = promote(guard.log, [outcome.id], Path("cases"), slug="ada")
    >>> [(path.as_posix(), case.expect.value) for path, case in report.written]
    [('cases/age/ada.json', (36,))]
    >>> guard.log.close()
    """
    promotion = _Promotion(log, folder, options)
    full_ids = dict.fromkeys(full_id(log, each) for each in ids)
    cases = [promotion.case_of(promotion.record(each), slug) for each in full_ids]
    return PromotionReport(written=tuple((promotion.write(case), case) for case in cases))


def promote_failures(
    log: OutcomeStore,
    folder: Path = CASES,
    query: Query | None = None,
    *,
    options: CaseOptions = CaseOptions(),  # frozen
    limit: int = 100,
    **calls: Unpack[QueryOptions],
) -> PromotionReport:
    """Write at most `limit` cases of the calls that match: one for each kind of failure, the newest call, unless
    there is a case of that failure already (`update` replaces it). A call that cannot be a case is left out."""
    promotion = _Promotion(log, folder, options)
    written: list[tuple[Path, Case]] = []
    undecided: list[str] = []
    failed_alike = already_there = 0
    previous, existing = set[str](), _slugs_by_failure(folder)
    for row in log.find(query_of(query, calls), limit=None):
        if len(written) == limit or row.status == RUNNING:
            continue
        record = promotion.record(row.id)
        key = failure_key(record)
        if key in previous:
            failed_alike += 1
        elif key in existing and not options.update:
            already_there += 1
        else:
            try:
                case = promotion.case_of(record, existing.get(key, ""))
            except UsageError as error:
                undecided.append(f"{record.opening.id}: {error}")
            else:
                written.append((promotion.write(case), case))
        previous.add(key)
    return PromotionReport(
        written=tuple(written), failed_alike=failed_alike, already_there=already_there, undecided=tuple(undecided)
    )


@dataclass(frozen=True, slots=True)
class _Promotion:
    log: OutcomeStore
    folder: Path
    options: CaseOptions

    def record(self, call_id: str) -> Record:
        record = self.log.get(call_id)
        if record is None:
            raise LogError(f"the call {call_id!r} is no longer in the log.")
        return record

    def case_of(self, record: Record, slug: str) -> Case:
        review, slug = self._newest_review(record.opening.id), slug or slug_of(record)
        expect = (
            self.options.expect
            or self._expected_by(review, record)
            or self._expected_before(record.opening.guard, slug)
            or expect_of_status(record)
        )
        return case_of(record, expect, version=_llmguard_version(), slug=slug, review=review)

    def write(self, case: Case) -> Path:
        return write_case(self.folder, case, update=self.options.update)

    def _newest_review(self, call_id: str) -> CaseReview | None:
        reviews = self.log.reviews_of(call_id)
        return reviews[-1] if reviews else None

    def _expected_by(self, review: CaseReview | None, record: Record) -> Expect | None:
        if review is not None and record.outcome is not None:
            return expect_of_review(review, record.outcome)
        if self.options.needs_review:
            raise UsageError(
                f"call {record.opening.id!r} has no review. `llmguard log review` gives one, or say --expect accepted,"
                " refused or a value."
            )
        return None

    def _expected_before(self, guard: str, slug: str) -> Expect | None:
        """What the case expects that is to be replaced: someone may have edited it."""
        path = case_path(self.folder, guard, slug)
        return read_case(path).expect if self.options.update and path.is_file() else None


def _slugs_by_failure(folder: Path) -> dict[str, str]:
    """The failures of which there are cases, with their slugs."""
    cases = [read_case(path) for path in case_paths(folder)]
    return {str(case.provenance.get("signature", "")): case.slug for case in cases}


def _llmguard_version() -> str:
    try:
        return version("llmguard-framework")
    except PackageNotFoundError:
        return "from its sources"
