"""The official JSON Schema Test Suite, as far as the folder in LLMGUARD_CORPORA holds it: every verdict is the suite's."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llmguard.core.errors import UsageError
from llmguard.schema import compile_schema

FOLDER = Path(os.environ.get("LLMGUARD_CORPORA", "."))
CASES = FOLDER / "json_schema_test_suite.jsonl.gz"
REMOTES = FOLDER / "json_schema_test_suite_remotes.json"
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}

pytestmark = pytest.mark.skipif(not CASES.is_file(), reason="LLMGUARD_CORPORA names no folder with the suite")


@cache
def cases() -> list[dict[str, Any]]:
    with gzip.open(CASES, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def verdict(case: dict[str, Any], remotes: dict[str, Any]) -> str:
    schema = case["schema"]
    if isinstance(schema, dict):
        schema = {"$schema": DRAFTS[case["draft"]], **schema}
    try:
        found = compile_schema(schema, registry=remotes).violations(case["instance"])
    except UsageError:
        return "refused"
    return "invalid" if found else "valid"


def is_ours(case: dict[str, Any], answer: str) -> bool:
    """Where llmguard means to differ: formats are asserted, a meta-schema of one's own and a mixture of drafts refused."""
    parts = case["id"].split("/")
    if answer == "refused":
        return "cross-draft" in parts or case["schema"]["$schema"] not in DRAFTS.values()
    return parts[2] == "format" and case["verdict"] == "valid"


@pytest.mark.parametrize("draft", DRAFTS)
def test_every_verdict_is_the_suites(draft: str) -> None:
    """Required and optional cases of each draft, the remote documents handed over as files."""
    remotes = json.loads(REMOTES.read_text(encoding="utf-8"))
    counts: Counter[str] = Counter()
    wrong = []
    for case in cases():
        if case["draft"] == draft:
            answer = verdict(case, remotes)
            kind = "agree" if answer == case["verdict"] else "ours" if is_ours(case, answer) else "wrong"
            counts[kind] += 1
            wrong += [f"{case['id']}: {answer}"] if kind == "wrong" else []
    print(f"{draft}: {dict(counts)}")
    assert wrong == []
    assert counts["agree"] > 0
