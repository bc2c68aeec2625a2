"""One reply has one outcome, whatever the process is started with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = (
    {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "Pacific/Kiritimati"},
    {"PYTHONHASHSEED": "3", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/St_Johns"},
    {"PYTHONHASHSEED": "4", "LANG": "de_DE.UTF-8", "TZ": "Asia/Kolkata", "PYTHONOPTIMIZE": "1"},
)


@pytest.mark.slow
def test_no_outcome_depends_on_hash_seed_locale_or_time_zone() -> None:
    """The corpora, rendered values, checks and votes, in processes that differ in nothing else."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.outcomes"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in ENVIRONMENTS
    ]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in ended if errors] == []
    first, *others = (output.splitlines() for output, _ in ended)
    assert len(first) > 2500
    for environment, lines in zip(ENVIRONMENTS[1:], others, strict=True):
        assert [pair for pair in zip(first, lines, strict=True) if pair[0] != pair[1]] == [], environment
