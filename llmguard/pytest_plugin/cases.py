"""Case files as test items. Collecting one reads nothing but its name; it is read, and judged, when it runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest

from llmguard.errors import LLMGuardError, UsageError
from llmguard.safe_text import safe, safe_line

GUARD_NAME = re.compile(r"[a-z0-9_.-]{1,64}\Z")
SLUG = re.compile(r"[a-z0-9-]{1,80}\Z")


class CaseFile(pytest.File):
    """FOLDER/<guard>/<slug>.json: one case, one test."""

    def collect(self) -> Iterable[CaseItem]:
        yield CaseItem.from_parent(self, name=safe_line(self.path.stem, 200))


class CaseItem(pytest.Item):
    """Today's guard over one recorded call: it passes where what the case expects still holds."""

    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]
        self.guard_name = self.path.parent.name
        self.add_marker(pytest.mark.llmguard)
        self.extra_keyword_matches.add(self.guard_name)
        self.user_properties.append(("llmguard_guard", safe_line(self.guard_name)))

    def setup(self) -> None:
        """What is wrong with the file or the configuration is an error, and no red test."""
        try:
            refuse_names(self.path, self.parent.path.parent.parent if self.parent else self.path.parent.parent)
            self._run = import_module("llmguard.pytest_plugin.judged").prepared(self.config, self.path)
        except LLMGuardError as error:
            pytest.fail(safe(str(error)), pytrace=False)

    def runtest(self) -> None:
        try:
            judged = self._run()
        except LLMGuardError as error:
            pytest.fail(safe(str(error)), pytrace=False)
        for title, text in judged.sections:
            self.add_report_section("call", title, text)
        self.user_properties += judged.properties
        if judged.failure:
            pytest.fail(judged.failure, pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, safe_line(f"{self.guard_name}/{self.path.stem}")


def refuse_names(path: Path, folder: Path) -> None:
    """A case stands in the folder that it seems to stand in, under names that name nothing else."""
    if not GUARD_NAME.match(path.parent.name):
        raise UsageError(f"folder {path.parent.name!r} of a case: expected a guard's name, 1 to 64 of a-z 0-9 _ . -")
    if not SLUG.match(path.stem):
        raise UsageError(f"case file {path.name!r}: expected 1 to 80 of a-z 0-9 - and .json. Rename it.")
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(os.path.realpath(folder)):
        raise UsageError(
            f"case file {path.name!r} is a link to {str(real)!r}, outside of {str(folder)!r}. Copy it there."
        )
    if not real.is_file():
        raise UsageError(f"{path.name!r} is no file; expected a case as `llmguard promote` writes it.")
