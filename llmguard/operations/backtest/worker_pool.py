"""Processes that replay pages of ids side by side, and what is done when one of them dies or hangs.

A worker is a program that reads one JSON list of ids a line, and writes one JSON object a line for each of them, in
their order; its first line says that it is ready. Nothing else passes between the processes, and nothing is pickled.
Each call has `timeout_s`; the one at which a worker dies or runs out of time is `lost`, and a new worker goes on after it.
Workers end when their standard input does: also where this process is killed.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, cast

from llmguard.core.canonical import Json, decode, encode
from llmguard.core.errors import UsageError

PAGES_AHEAD = 2
"""Pages that a worker has, so that it does not wait while the results of the last one are written to the disk."""
MAX_LOST = 20
"""Calls that may kill or hang a process before all is given up: with more, the cause lies elsewhere."""
START_S = 120.0
"""To import the user's modules and build the guard: some load a local model."""
END_S = 5.0
"""For a worker that has nothing left to do."""
CHUNK = 1 << 20

Page = Sequence[str]


@dataclass(slots=True)
class Worker:
    """One process, the pages that it was sent, and its results for the first of them."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    deadline: float
    pages: deque[Page] = field(default_factory=deque)
    results: list[Json] = field(default_factory=list)
    rest: bytes = b""
    ready: Json = None

    @property
    def output(self) -> IO[bytes]:
        return cast("IO[bytes]", self.process.stdout)

    def send(self, page: Page) -> None:
        self.pages.append(page)
        try:
            os.write(cast("IO[bytes]", self.process.stdin).fileno(), encode(list(page)) + b"\n")
        except BrokenPipeError:  # it died; the end of its output shows that
            pass

    def lines_in(self, chunk: bytes) -> Iterator[Json]:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        return map(decode, lines)

    def last_error(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read()[-CHUNK:].decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote no error")

    def end(self, within_s: float = 0.0) -> None:
        """Its standard input ends, so it does; if not in time, it is killed."""
        cast("IO[bytes]", self.process.stdin).close()
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()
        self.errors.close()


class WorkerPool:
    """`workers` processes of `command`. `check_ready` gets a worker's first line, and may raise; `lost(id, why)` gives the
    result of a call that cannot be replayed."""

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        *,
        timeout_s: float,
        check_ready: Callable[[Json], object],
        lost: Callable[[str, str], Json],
    ) -> None:
        self._command, self._size, self._timeout_s = list(command), workers, timeout_s
        self._check_ready, self._lost = check_ready, lost
        self._workers: list[Worker] = []
        self._waiting: deque[Page] = deque()
        self._losses = 0
        self._selector = selectors.DefaultSelector()

    def results_of(self, pages: Sequence[Page]) -> Generator[list[Json], None, None]:
        """The results of each page, as pages are finished, in any order. The processes end with the generator."""
        self._waiting = deque(pages)
        try:
            for _ in range(min(self._size, len(pages))):
                self._start()
            while self._workers:
                yield from self._turn()
        finally:
            while self._workers:
                self._end(self._workers[-1], 0.0)
            self._selector.close()

    def _start(self) -> None:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the worker
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is this process's to handle
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        worker = Worker(process, errors, time.monotonic() + max(START_S, self._timeout_s))
        self._workers.append(worker)
        self._selector.register(worker.output, selectors.EVENT_READ, worker)

    def _turn(self) -> Iterator[list[Json]]:
        """Waits until a worker writes something, or runs out of time."""
        next_deadline = min(worker.deadline for worker in self._workers) - time.monotonic()
        for key, _ in self._selector.select(max(0.0, next_deadline)):
            worker = cast(Worker, key.data)
            chunk = os.read(worker.output.fileno(), CHUNK)
            if chunk:
                yield from self._receive(worker, chunk)
            else:
                yield from self._replace(worker, f"the process that replayed it ended ({_exit_of(worker)})")
        for worker in [each for each in self._workers if each.deadline < time.monotonic()]:
            yield from self._replace(worker, f"replaying it took more than {self._timeout_s:g} s")

    def _receive(self, worker: Worker, chunk: bytes) -> Iterator[list[Json]]:
        worker.deadline = time.monotonic() + self._timeout_s
        for line in worker.lines_in(chunk):
            if worker.ready is None:
                worker.ready = line
                self._check_ready(line)
                self._feed(worker)
                continue
            worker.results.append(line)
            if len(worker.results) == len(worker.pages[0]):
                worker.pages.popleft()
                finished, worker.results = worker.results, []
                self._feed(worker)
                yield finished

    def _feed(self, worker: Worker) -> None:
        while self._waiting and len(worker.pages) < PAGES_AHEAD:
            worker.send(self._waiting.popleft())
        if not worker.pages:
            self._end(worker, END_S)

    def _replace(self, worker: Worker, why: str) -> Iterator[list[Json]]:
        """A worker died, or has to end: the call that it was at is lost, and the rest of its pages waits again."""
        if worker.ready is None:
            raise UsageError(f"a worker of the replay could not begin: {worker.last_error()}")
        self._losses += 1
        if self._losses > MAX_LOST:
            raise UsageError(
                f"{MAX_LOST} outcomes ended the process that replayed them, or took more than {self._timeout_s:g} s; the last:"
                f" {worker.last_error()}. Mend the guard's checks, and run the command again: it goes on where it was."
            )
        page, *others = worker.pages
        finished = [*worker.results, self._lost(page[len(worker.results)], why)]
        rest = page[len(finished) :]
        self._waiting.extendleft(reversed([each for each in (rest, *others) if each]))
        worker.process.kill()
        self._end(worker, END_S)
        if self._waiting:
            self._start()
        yield finished

    def _end(self, worker: Worker, within_s: float) -> None:
        self._workers.remove(worker)
        self._selector.unregister(worker.output)
        worker.end(within_s)


def _exit_of(worker: Worker) -> str:
    try:
        status = worker.process.wait(END_S)
    except subprocess.TimeoutExpired:
        return "its output was closed"
    return f"signal {-status}" if status < 0 else f"exit status {status}"
