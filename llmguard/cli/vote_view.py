"""A vote as text: agreement, fields with their alternatives, samples, certificate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from rich.text import Text

from llmguard.certification.certificate import percent
from llmguard.cli.json_view import pretty
from llmguard.cli.terminal import styled
from llmguard.core.canonical import Json
from llmguard.core.outcome import Alternative, FieldSupport, Outcome, Vote
from llmguard.core.safe_text import safe_json, safe_line

VALUE_CHARS = 80
RULE_CHARS = 160
FIELDS_SHOWN = 20

Row: TypeAlias = tuple[str, Text]


def vote_rows(outcome: Outcome[Json]) -> Iterator[Row]:
    """Line by line, the decision first; empty without votes, judges and certificate."""
    if outcome.vote is not None:
        yield from _vote_rows(outcome.vote, shown_elsewhere=outcome.vote.candidate == (outcome.json,))
    for path, support in list(outcome.fields.items())[:FIELDS_SHOWN]:
        yield path or "value", _field_text(support)
    if len(outcome.fields) > FIELDS_SHOWN:
        yield "…", Text(f"and {len(outcome.fields) - FIELDS_SHOWN} more fields", "dim")
    if outcome.alternatives and list(outcome.fields) != [""]:
        yield "others", Text("; ".join(map(_alternative_text, outcome.alternatives)))
    if outcome.score is not None and outcome.score != outcome.agreement:
        yield "score", Text(f"{outcome.score:.4g}")
    if outcome.certificate:
        yield "certificate", Text(safe_line(outcome.certificate))
    for judgement in outcome.judgements:
        reason = f": {safe_line(judgement.said, VALUE_CHARS)}" if judgement.said else ""
        yield "judge", Text(f"{safe_line(judgement.check)} says {judgement.verdict}{reason}")


def _vote_rows(vote: Vote, *, shown_elsewhere: bool) -> Iterator[Row]:
    decided = ("accepted", "green") if vote.accepted else ("not accepted", "yellow")
    facts = [f"agreement {percent(vote.agreement)}", f"stopped by {vote.reason}", f"at {safe_line(vote.rung)}"]
    facts += ["a tie, decided by sample order"] if vote.ambiguous else []
    facts += ["value of the medoid: the sample nearest to the others"] if vote.source == "medoid" else []
    facts += ["refused by schema, check or judge"] if vote.refused else []
    yield "decided", Text.assemble(decided, ", ", ", ".join(facts))
    yield "samples", Text(_sample_counts(vote))
    if vote.rule is not None:
        yield "rule", Text(safe_line(safe_json(vote.rule), RULE_CHARS), "dim")
    if vote.candidate and not shown_elsewhere:
        yield "candidate", styled(pretty(vote.candidate[0]))


def _sample_counts(vote: Vote) -> str:
    invalid = sum(not sample.valid for sample in vote.samples)
    audit = f"; {vote.sample_count - vote.used} more for an audit" if vote.sample_count > vote.used else ""
    return f"{vote.sample_count} drawn, {vote.used} decided, dissent {vote.dissent}, not valid {invalid}{audit}"


def _field_text(support: FieldSupport) -> Text:
    parts = [f"{_short(support.value)}"]
    if support.agreement is not None:
        parts.append(f"{support.votes} of {support.drawn} ({percent(support.agreement)})")
    if support.confidence is not None:
        parts.append(f"confidence {support.confidence:.2f}")
    parts += ["tie"] if support.ambiguous else []
    text = Text("  ".join(parts))
    if support.alternatives:
        text.append("  also " + "; ".join(map(_alternative_text, support.alternatives)), "dim")
    return text


def _alternative_text(alternative: Alternative) -> str:
    return f"{_short(alternative.value) if alternative.present else 'left out'} ({alternative.votes})"


def _short(value: Json) -> str:
    return safe_line(safe_json(value), VALUE_CHARS)
