"""Live model calls of a test run are refused, and the test that made one fails, whatever its outcome."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import TypeVar

import pytest

from llmguard.core.safe_text import safe
from llmguard.models.network_guard import block_live_calls

T = TypeVar("T")
FIX = (
    "Live model calls are refused in tests. Script the replies (the fixture scripted_model), replay a case, or run pytest"
    " with --llmguard-live to allow them."
)


class LiveCallsRefused:
    """A plugin that is registered unless --llmguard-live was given.

    The refusal is an answer to the guard, which goes on to its next rung as it would after any failure; so the test
    itself has to fail.
    """

    def __init__(self) -> None:
        self._requests: list[str] = []
        self._open = ExitStack()
        self._open.enter_context(block_live_calls(self._requests.append))

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
        if message := self._message():
            report.outcome, report.longrepr, report.result = "failed", safe(message), []
        return report

    def _failing(self) -> Generator[None, T, T]:
        """Runs a phase of a test; one that asked a live model fails with that, and with its own error."""
        try:
            result = yield
        except pytest.exit.Exception:
            raise
        except (Exception, *_OUTCOMES) as error:
            if message := self._message():
                raise _failure(f"{message}\n\nThe test itself ended with {_describe(error)}") from None
            raise
        if message := self._message():
            raise _failure(message)
        return result

    def _message(self) -> str:
        """The requests since the last phase, as a sentence; empty where there were none."""
        requests, self._requests[:] = list(self._requests), []
        if not requests:
            return ""
        total = f" ({len(requests)} calls in all)" if len(requests) > 1 else ""
        return f"a test asked {requests[0]}{total}. {FIX}"


_OUTCOMES = (pytest.fail.Exception, pytest.skip.Exception)


def _failure(message: str) -> BaseException:
    return pytest.fail.Exception(safe(message), pytrace=False)


def _describe(error: BaseException) -> str:
    frames = pytest.ExceptionInfo.from_exception(error).traceback
    last = frames[-1]
    return f"{type(error).__name__}: {str(error)[:2_000]}\n  at {last.path}:{last.lineno + 1}"
