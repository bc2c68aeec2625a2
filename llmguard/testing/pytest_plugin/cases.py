"""Case files as test items. Collecting one reads nothing but its name; it is read, and judged, when it runs."""

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
    from llmguard.testing.pytest_plugin.case_run import Judged

SHOWN_NAME = 200


class CaseFile(pytest.File):
    """FOLDER/<guard>/<slug>.json: one case, one test."""

    @classmethod
    def at(cls, path: Path, parent: pytest.Collector) -> CaseFile:
        """A file's name may be anybody's, and pytest prints node ids as they are."""
        return cls.from_parent(parent, path=path, nodeid=safe_line(f"{parent.nodeid}/{path.name}"))

    def collect(self) -> Iterable[CaseItem]:
        yield CaseItem.from_parent(self, name=safe_line(self.path.stem, SHOWN_NAME))


class CaseItem(pytest.Item):
    """Today's guard over one recorded call: it passes where what the case expects still holds."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.folder = self.path.parent.parent
        self.guard_name = safe_line(self.path.parent.name, SHOWN_NAME)
        self.judge: Callable[[], Judged] | None = None
        self.add_marker(pytest.mark.llmguard)
        self.extra_keyword_matches.add(self.guard_name)
        self.user_properties.append(("llmguard_guard", self.guard_name))

    def setup(self) -> None:
        """What is wrong with the file or the configuration is an error, and no red test."""
        try:
            self.judge = import_module("llmguard.testing.pytest_plugin.case_run").prepared(
                self.config, self.path, self.folder
            )
        except LLMGuardError as error:
            raise red(str(error).replace(f"{self.config.rootpath}{os.sep}", "")) from None

    def runtest(self) -> None:
        assert self.judge is not None
        try:
            judged = self.judge()
        except LLMGuardError as error:
            raise red(str(error)) from None
        for title, text in judged.sections:
            self.add_report_section("call", title, safe(text))
        self.user_properties += judged.properties
        if judged.failure:
            raise red(judged.failure)

    def reportinfo(self) -> tuple[Path, int, str]:
        return Path(safe_line(str(self.path))), 0, f"{self.guard_name}/{self.name}"


def red(said: str) -> BaseException:
    """A failure that shows what was said, without llmguard's own lines."""
    return pytest.fail.Exception(safe(said), pytrace=False)
