"""How often the right value comes out of a hostile reply, and how often a wrong one does without a sign.

Each line of the corpus is a reply, its schema, and either the value a careful person would read from it or
"must refuse". Each case ends for each reader (benchmarks/readers.py) as

    right            the expected value came out
    refused rightly  none came out, and none should
    lost             none came out, though the text has one reading
    silently wrong   a value came out that is not the expected one, or where none should

    python -m benchmarks.scoreboard
    python -m benchmarks.scoreboard --families --no-peers
    python -m benchmarks.scoreboard --show lost --only llmguard
    python -m benchmarks.scoreboard --ordinary

`--ordinary` reads the ordinary right replies of six model families (tests/corpus/ordinary.jsonl) instead: none is hostile, and
what is refused costs a re-ask.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.readers import PEERS, Reader, Refused, llmguard
from llmguard.core.canonical import Json

Verdict: TypeAlias = Literal["right", "refused rightly", "lost", "silently wrong"]

VERDICTS: tuple[Verdict, ...] = ("right", "refused rightly", "lost", "silently wrong")
MARKS: dict[str, Verdict] = {"right": "right", "refused": "refused rightly", "lost": "lost", "wrong": "silently wrong"}


@dataclass(frozen=True, slots=True)
class Case:
    """One reply with the value a careful person reads from it (`recoverable`), or none."""

    id: str
    family: str
    schema: dict[str, Json]
    reply: str
    finish_reason: str
    recoverable: bool
    value: Json
    kind: str | None
    layout: str
    why: str


@dataclass(frozen=True, slots=True)
class Score:
    """What one reader made of one case. `crashed`: it raised something that it does not document."""

    case: Case
    verdict: Verdict
    got: Json = None
    kind: str | None = None
    crashed: bool = False

    @property
    def other_kind(self) -> bool:
        """Whether it was refused rightly, but for another reason than the corpus gives."""
        told = None not in (self.kind, self.case.kind)
        return self.verdict == "refused rightly" and told and self.kind != self.case.kind


# ---------------------------------------------------------------- corpus


CORPUS = Path(__file__).parent.parent / "tests" / "corpus"


def load(folder: Path = CORPUS) -> list[Case]:
    """All cases of `hostile.jsonl`, their schemas taken from `schemas.json` where a case names one."""
    schemas = json.loads((folder / "schemas.json").read_text(encoding="utf-8"))
    lines = (folder / "hostile.jsonl").read_text(encoding="utf-8").split("\n")
    return [_case(json.loads(line), schemas) for line in lines if line]


def load_ordinary(folder: Path = CORPUS) -> list[Case]:
    """All cases of `ordinary.jsonl`; the part of a case is its model family, its layout the habit that it shows."""
    lines = (folder / "ordinary.jsonl").read_text(encoding="utf-8").split("\n")
    return [_ordinary_case(json.loads(line)) for line in lines if line]


def _ordinary_case(row: dict[str, Json]) -> Case:
    return Case(
        id=row["id"],
        family=row["family"],
        schema=row["schema"],
        reply=row["reply"],
        finish_reason="stop",
        recoverable=True,
        value=row["value"],
        kind=None,
        layout=row["habit"],
        why=f"an ordinary right reply: {row['habit']}",
    )


def _case(row: dict[str, Json], schemas: dict[str, Json]) -> Case:
    expect = row["expect"]
    return Case(
        id=row["id"],
        family=row["family"],
        schema=row["schema"] if "schema" in row else schemas[row["schema_ref"]],
        reply=row["reply"],
        finish_reason=row.get("finish_reason", "stop"),
        recoverable=row["recoverable"],
        value=expect.get("value"),
        kind=expect.get("kind"),
        layout=row["layout"],
        why=row["why"],
    )


# ---------------------------------------------------------------- judging


def same(left: Json, right: Json) -> bool:
    """Equal as JSON values: true is not 1, 3.0 is 3, the order of keys does not matter.

    >>> same({"a": 3, "b": [True]}, {"b": [True], "a": 3.0}), same(True, 1), same("3", 3)
    (True, False, False)
    """
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right
    return type(left) is type(right) and bool(left == right)


def judge(reader: Reader, case: Case) -> Score:
    """Let one reader read one case."""
    none: Verdict = "lost" if case.recoverable else "refused rightly"
    try:
        got = reader(case.reply, case.schema, case.finish_reason)
    except Refused as refusal:
        return Score(case, none, kind=refusal.kind)
    except Exception as error:  # a peer may raise anything on hostile text; that is a finding, not our end
        return Score(case, none, got=f"{type(error).__name__}: {str(error)[:80]}", crashed=True)
    return Score(case, "right" if case.recoverable and same(got, case.value) else "silently wrong", got=got)


def reask_rate(scores: list[Score]) -> float:
    """The share of replies that are not read at the first ask, each of which costs another."""
    return sum(score.verdict == "lost" for score in scores) / len(scores)


# ---------------------------------------------------------------- tables


def readers(with_peers: bool) -> dict[str, Reader]:
    """llmguard, and the peers that are installed."""
    found: dict[str, Reader] = {"llmguard": llmguard}
    for name, build in PEERS.items() if with_peers else ():
        try:
            found[name] = build()
        except ImportError as error:
            print(f"{name} is left out: {error}. Install json_repair, instructor and jsonschema to compare.")
    return found


def table(scores: dict[str, list[Score]]) -> str:
    """One line a reader."""
    heads = ["reader", *VERDICTS, "right of recoverable", "crashed", "other kind"]
    return _columns([heads, *(_line(name, of_reader) for name, of_reader in scores.items())])


def _line(name: str, scores: list[Score]) -> list[str]:
    counts = Counter(score.verdict for score in scores)
    recoverable = sum(score.case.recoverable for score in scores)
    share = f"{counts['right'] / recoverable:.1%}" if recoverable else "-"
    crashed, other = sum(score.crashed for score in scores), sum(score.other_kind for score in scores)
    return [name, *(str(counts[verdict]) for verdict in VERDICTS), share, str(crashed), str(other)]


def by_part(scores: dict[str, list[Score]], part: Callable[[Case], str]) -> str:
    """Right / refused rightly / lost / silently wrong for each family or layout and each reader."""
    parts = list(dict.fromkeys(part(score.case) for of_reader in scores.values() for score in of_reader))
    rows = [["", *scores]]
    for name in parts:
        chosen = ([score for score in of_reader if part(score.case) == name] for of_reader in scores.values())
        rows.append([name, *("/".join(_line("", few)[1:5]) for few in chosen)])
    return "right/refused rightly/lost/silently wrong\n" + _columns(rows)


def _columns(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def show(name: str, scores: Iterable[Score], verdict: Verdict) -> None:
    """Each case of one verdict, escaped to ASCII: replies are hostile to terminals too."""
    for score in scores:
        if score.verdict == verdict:
            expected = score.case.value if score.case.recoverable else "(refuse)"
            print(f"{name}: {score.case.id}: {score.case.why}")
            print(f"    reply    {score.case.reply[:300]!a}")
            print(f"    expected {ascii(expected)[:300]}\n    got      {ascii(score.got)[:300]}")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoreboard", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder with hostile.jsonl and schemas.json")
    parser.add_argument("--ordinary", action="store_true", help="the ordinary right replies of ordinary.jsonl")
    parser.add_argument("--no-peers", action="store_true", help="leave json_repair and instructor out")
    parser.add_argument("--families", action="store_true", help="also count by family and by layout")
    parser.add_argument("--family", default=None, help="only this family")
    parser.add_argument("--show", choices=sorted(MARKS), default=None, help="print each case of this verdict")
    parser.add_argument("--only", default=None, metavar="READER", help="with --show: only this reader's cases")
    parser.add_argument("--json", action="store_true", help="counts as JSON")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Print the scoreboard; exit status 1 if llmguard was silently wrong."""
    wanted = arguments(argv)
    loaded = load_ordinary(wanted.corpus) if wanted.ordinary else load(wanted.corpus)
    cases = [case for case in loaded if wanted.family in (None, case.family)]
    scores = {name: [judge(reader, case) for case in cases] for name, reader in readers(not wanted.no_peers).items()}
    report(wanted, cases, scores)
    return int(any(score.verdict == "silently wrong" for score in scores["llmguard"]))


def report(wanted: argparse.Namespace, cases: list[Case], scores: dict[str, list[Score]]) -> None:
    """Print what the command line asked for."""
    if wanted.json:
        print(json.dumps({name: Counter(score.verdict for score in few) for name, few in scores.items()}, indent=2))
        return
    recoverable = sum(case.recoverable for case in cases)
    print(f"{len(cases)} replies: {recoverable} recoverable, {len(cases) - recoverable} to be refused\n")
    print(table(scores))
    if wanted.ordinary:
        print(f"\nasked again: {reask_rate(scores['llmguard']):.1%} of the replies, by llmguard")
    if wanted.families:
        print("\n" + by_part(scores, lambda case: case.family) + "\n\n" + by_part(scores, lambda case: case.layout))
    for name, of_reader in scores.items():
        if wanted.show and wanted.only in (None, name):
            show(name, of_reader, MARKS[wanted.show])


if __name__ == "__main__":
    sys.exit(main())
