"""Names are the field's: no module, class, function or parameter has a word that only this project would understand.

`INSTEAD` says for each such word what to write. A name is compared without its leading underscores; a word of `ANYWHERE` may
not be a part of a name either. `ALLOWED` lists what may stay, each with its reason.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "llmguard"

INSTEAD = {
    "climb": "run_model_rung",
    "descend": "run_ladder",
    "supply": "run_fallback_rung",
    "poll": "vote",
    "draw": "draw_samples",
    "study": "complete_audit",
    "confirm": "run_effect_checks",
    "outside": "run_effect_check",
    "told": "the noun of the thing: verdicts, reported, ...",
    "said": "text, message",
    "asked": "request, query",
    "given": "argument, value",
    "heard": "recorded, received",
    "shown": "displayed",
    "seen": "previous, known",
    "found": "result, match, violations, ...",
    "drawn": "samples",
    "shielded": "catch_as_violation",
    "blamed": "attach_failure_reason",
    "named": "label_violations, by_name",
    "judged": "evaluate_reply",
    "examined": "validate_value",
    "confirmed": "apply_check_results",
    "allowed": "apply_acceptance",
    "still_allowed": "recheck_certificate",
    "elected": "vote_verdict",
    "settled": "vote_result",
    "crossed": "json_roundtrip",
    "Purse": "BudgetTracker",
    "purse": "budget",
    "take": "reserve",
    "pay": "charge",
    "hear": "charge_batch",
    "ahead": "charged",
    "affordable": "affordable_requests",
    "Permit": "AcceptancePermit",
    "permitted": "look_up_permit",
    "promise": "certificate, certificate key",
    "promises": "certificates",
    "STILL": "RECHECK",
    "void": "reason",
    "knob": "parameter",
    "assurance": "certification report",
    "watch": "monitor",
    "alarm": "drift_alarm",
    "witness": "evidence",
    "people": "reviewers",
    "reviewing": "review_store",
    "Word": "ReviewInput",
    "Found": "CallSummary",
    "Which": "AuditFilter",
    "Ended": "FinishedCall",
    "Kept": "StoredCertificate",
    "keep": "save",
    "Opening": "CallStart",
    "place": "runs_on, position, location",
    "grace": "ignores_deadline",
    "here": "address, location",
    "aio": "async_driver",
    "run": "execution",
    "Run": "CallExecution",
    "Growing": "StreamingReply",
    "tells_by": "on_progress",
    "overdue": "timed_out",
    "abandon": "cancel",
    "watching": "stream validation",
    "Watcher": "StreamValidator",
    "preamble": "lead_in",
    "frames": "stack",
    "places": "locations",
    "misfit": "mismatch",
    "reading": "coercion",
    "bare": "unbracketed",
    "trials": "candidate_results",
    "Tried": "CandidateResult",
    "Doubt": "Rejection",
    "Wanted": "ExpectedNumber",
    "squeezed": "normalized_key",
    "ballots": "votes",
    "forms": "normal_forms",
    "keyed": "keyed_lists",
    "windows": "tolerance_windows",
    "judging": "evaluation, case_result",
    "rejudge": "backtest",
    "rejudging": "backtesting",
    "same": "match, is_same_answer",
    "assumed": "substituted",
    "fresh": "rerun",
    "Shelf": "RecordedAnswers",
    "Otherwise": "fallback_responder",
    "spelling": "serialization",
    "signatures": "failure_keys",
    "planting": "mutant_generation",
    "shapes": "schema navigation",
    "kinds": "mutation_operators",
    "Wire": "Transport",
    "Exchange": "HTTPExchange",
    "Sent": "SendResult",
    "native": "strict_schema",
    "dialect": "server_capabilities",
    "live": "network_guard, responder",
    "kept_here": "blocked",
    "sent_in_vain": "blocked",
    "in_words": "describe, message",
    "OutputForm": "ResponseFormat",
    "gate": "write_lock",
    "bell": "wakeup",
    "ring": "wake",
    "news": "notices",
    "excuse": "release_waiters",
    "mended": "handle_error, repaired",
    "BY_MODEL": "Outcome.is_from_model",
    "GOOD": "Outcome.is_from_model",
    "AUTOMATIC": "Outcome.is_from_model",
    "PASSED": "Outcome.is_from_model",
    "BY_ITSELF": "Outcome.is_from_model",
    "ACCEPTED": "Outcome.is_from_model",
    # words that STYLE rules out in names
    "chain": "ladder",
    "runner": "driver",
    "rail": "guard",
    "manager": "the noun of what it does",
    "handler": "the noun of what it does",
    "helper": "the noun of what it does",
    "util": "the noun of what it does",
    "utils": "the noun of what it does",
    "context": "the noun of what it holds",
}

ANYWHERE = frozenset("told said heard shielded blamed crossed purse promise knob rejudge judging".split())

ALLOWED = {
    "guard.guard.Guard.run": "the public method: guard.run(...)",
    "guard.decorator.Guarded.run": "the same on a decorated function",
    "cli.run_command.run": "the command `llmguard run`",
}


def names() -> Iterator[tuple[str, str]]:
    """(where, name) of every module, class, function and parameter."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "migrations" in path.parts:
            continue  # a published revision is never edited
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield module, path.stem
        yield from names_in(ast.parse(path.read_text(encoding="utf-8")), module)


def names_in(tree: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    for node in ast.iter_child_nodes(tree):
        inside = where
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{where}.{node.name}"
            yield inside, node.name
        if isinstance(node, ast.arg):
            yield f"{where}({node.arg})", node.arg
        yield from names_in(node, inside)


def word_in(name: str) -> str | None:
    """The word that the name should not have."""
    bare_name = name.lstrip("_")
    if bare_name in INSTEAD:
        return bare_name
    return next((part for part in bare_name.lower().split("_") if part in ANYWHERE), None)


def test_names_are_plain() -> None:
    """Each name that has a private word, with what to write instead."""
    wrong = [
        f"{where}: instead of {word!r} write {INSTEAD[word]}"
        for where, name in names()
        if (word := word_in(name)) and where not in ALLOWED
    ]
    assert wrong == []


def test_what_is_allowed_is_needed() -> None:
    """An exception that no name needs any more goes."""
    assert set(ALLOWED) <= {where for where, name in names() if word_in(name)}


def test_the_rule_sees_modules_classes_functions_and_parameters() -> None:
    """Private names and lambdas included."""
    source = "class Purse:\n    def _told(self, *, said): return lambda found: found\ndef score_told(x): ..."
    assert [name for _, name in names_in(ast.parse(source), "m") if word_in(name)] == [
        "Purse",
        "_told",
        "said",
        "found",
        "score_told",
    ]


def public_definitions() -> Iterator[tuple[str, str]]:
    """(name, module) of every class, and of every public function at the top of a module; overloads count once."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module.startswith("cli.") or "migrations" in module:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        yield from ((name, module) for name in classes | {name for name in functions if not name.startswith("_")})


def test_no_class_and_no_public_function_has_a_name_twice() -> None:
    """One name, one meaning: whoever searches for it finds one definition."""
    homes = defaultdict(list)
    for name, module in public_definitions():
        homes[name].append(module)
    twice = {name: modules for name, modules in homes.items() if len(modules) > 1 and name != "__getattr__"}
    assert twice == {}
