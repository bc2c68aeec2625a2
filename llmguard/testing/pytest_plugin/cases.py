"""Case files as test items. Collecting one reads nothing but its name; it is read and replayed when it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llmguard.core.errors import LLMGuardError
from llmguard.core.safe_text import safe, safe_line

if TYPE_CHECKING:
    from llmguard.testing.pytest_plugin.case_run import CaseReport

SHOWN_NAME = 200


class CaseFile(pytest.File):
    """FOLDER/<guard>/<slug>.json: one case, one test."""

    @classmethod
    def at(cls, path: Path, parent: pytest.Collector) -> CaseFile:
        """A file's name may come from anywhere, and pytest prints node ids as they are."""
        return cls.from_parent(parent, path=path, nodeid=safe_line(f"{parent.nodeid}/{path.name}"))

    def collect(self) -> Iterable[CaseItem]:
        yield CaseItem.from_parent(self, name=safe_line(self.path.stem, SHOWN_NAME))


class CaseItem(pytest.Item):
    """Today's guard over one recorded call: it passes where what the case expects still holds."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.folder = self.path.parent.parent
        self.guard_name = safe_line(self.path.parent.name, SHOWN_NAME)
        self.run_case: Callable[[], CaseReport] | None = None
        self.add_marker(pytest.mark.llmguard)
        self.extra_keyword_matches.add(self.guard_name)
        self.user_properties.append(("llmguard_guard", self.guard_name))

    def setup(self) -> None:
        """What is wrong with the file or the configuration is an error, not a failed test."""
        try:
            self.run_case = import_module("llmguard.testing.pytest_plugin.case_run").prepared(
                self.config, self.path, self.folder
            )
        except LLMGuardError as error:
            raise case_failure(str(error).replace(f"{self.config.rootpath}{os.sep}", "")) from None

    def runtest(self) -> None:
        assert self.run_case is not None
        try:
            report = self.run_case()
        except LLMGuardError as error:
            raise case_failure(str(error)) from None
        for title, text in report.sections:
            self.add_report_section("call", title, safe(text))
        self.user_properties += report.properties
        if report.failure:
            raise case_failure(report.failure)

    def reportinfo(self) -> tuple[Path, int, str]:
        return Path(safe_line(str(self.path))), 0, f"{self.guard_name}/{self.name}"


def case_failure(message: str) -> BaseException:
    """A failure that shows the message, without llmguard's own lines."""
    return pytest.fail.Exception(safe(message), pytrace=False)
