"""Live model calls of a test run: refused, and the test that made one fails, whatever became of the outcome."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import TypeVar

import pytest

from llmguard.core.safe_text import safe
from llmguard.models.network_guard import refusing

T = TypeVar("T")
MEND = (
    "Live model calls are refused in tests. Script the replies (the fixture scripted_model), replay a case, or run pytest"
    " with --llmguard-live to allow them."
)


class LiveCallsRefused:
    """A plugin that is there unless --llmguard-live was given.

    The refusal is an answer to the guard, which goes on to its next rung as it would after any trouble; so it is the test
    that has to fail.
    """

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._open = ExitStack()
        self._open.enter_context(refusing(self._heard.append))

    def close(self) -> None:
        self._open.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, T, T]:
        return (yield from self._failing())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, T, T]:
        return (yield from self._failing())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, T, T]:
        return (yield from self._failing())

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A module that calls a guard when it is imported."""
        report = yield
        if said := self._taken():
            report.outcome, report.longrepr, report.result = "failed", safe(said), []
        return report

    def _failing(self) -> Generator[None, T, T]:
        """Runs a phase of a test; one that asked a live model fails with that, and with what else it ended with."""
        try:
            result = yield
        except pytest.exit.Exception:
            raise
        except (Exception, *_OUTCOMES) as error:
            if said := self._taken():
                raise _failure(f"{said}\n\nThe test itself ended with {_in_words(error)}") from None
            raise
        if said := self._taken():
            raise _failure(said)
        return result

    def _taken(self) -> str:
        """What was heard since the last phase, as a sentence."""
        heard, self._heard[:] = list(self._heard), []
        if not heard:
            return ""
        again = f" ({len(heard)} calls in all)" if len(heard) > 1 else ""
        return f"a test asked {heard[0]}{again}. {MEND}"


_OUTCOMES = (pytest.fail.Exception, pytest.skip.Exception)


def _failure(said: str) -> BaseException:
    return pytest.fail.Exception(safe(said), pytrace=False)


def _in_words(error: BaseException) -> str:
    frames = pytest.ExceptionInfo.from_exception(error).traceback
    last = frames[-1]
    return f"{type(error).__name__}: {str(error)[:2_000]}\n  at {last.path}:{last.lineno + 1}"
