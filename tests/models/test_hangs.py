"""No call hangs after its deadline: not behind a thread that was killed, nor behind a name server that is slow."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from llmguard import Guard, OpenAIModel, constant
from llmguard.models.transport.background import arun_within, run_within
from llmguard.models.transport.connection_pool import LockFreePool
from llmguard.models.transport.names import literal_address, resolve_name
from tests.support.fault_server import FaultServer, answer, chat

pytestmark = pytest.mark.loopback
LATE_BY_S = 0.25
RESOLVER_S = 6.0


class Killed(BaseException):
    """What a task queue raises in a thread whose time is over."""


def guard_at(base_url: str, **options: Any) -> Guard[Any]:
    model = OpenAIModel("m", base_url=base_url, api_key="key", output="prompted")
    options = {"deadline_s": 2.0, "fallback": [constant(0)], "log": None, "reasks": 0, **options}
    return Guard("hangs", prompt="How many?", schema={"type": "integer"}, models=[model], **options)


def kill(thread: threading.Thread) -> None:
    """As `stopit` and Dramatiq do it: the exception is raised wherever the thread is in Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Killed))


def timed(guard: Guard[Any]) -> tuple[str, float]:
    began = time.monotonic()
    status = guard.run().status
    return status, time.monotonic() - began


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of sockets that a killed thread had open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_killed_threads_hold_up_no_later_call() -> None:
    """40 threads end by an exception from outside at 40 points of their calls; the calls after each take no longer."""
    with FaultServer([answer(200, chat("1"))] * 2_000) as server:
        guard = guard_at(server.base_url)
        guard.run()
        for number in range(40):
            began = threading.Event()

            def work(began: threading.Event = began) -> None:
                began.set()
                try:
                    while True:
                        guard.run()
                except Killed:
                    return

            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            began.wait(5)
            time.sleep(number * 0.000_37)
            kill(thread)
            thread.join(5)
            assert not thread.is_alive()
            status, took_s = timed(guard)
            assert (status, took_s < 2.0 + LATE_BY_S) == ("accepted", True)
        gc.collect()


@pytest.fixture
def slow_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A name server that takes 6 s for any name; the names that it was asked for."""
    asked: list[str] = []
    resolve, over = socket.getaddrinfo, threading.Event()

    def slow(host: Any, *rest: Any, **options: Any) -> Any:
        asked.append(str(host))
        over.wait(RESOLVER_S)
        return resolve("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    yield asked
    over.set()


def test_a_slow_name_server_holds_up_no_call(slow_resolver: list[str]) -> None:
    """Calls end at their deadline; those at the same time share one look-up."""
    guard = guard_at("http://slow.example/v1", deadline_s=0.6)
    guard.run()
    found: list[tuple[str, float]] = []
    threads = [threading.Thread(target=lambda: found.append(timed(guard))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert [status for status, _ in found] == ["fallback"] * 8
    assert max(took_s for _, took_s in found) <= 0.6 + LATE_BY_S
    assert slow_resolver == ["slow.example"]


def test_a_slow_name_server_holds_up_no_event_loop(slow_resolver: list[str]) -> None:
    """Nor does the end of the loop wait for the look-up: the loop's own threads are not used."""
    guard = guard_at("http://slow.example/v1", deadline_s=0.6)
    asyncio.run(guard.arun())
    began = time.monotonic()
    outcome = asyncio.run(guard.arun())
    assert (outcome.status, time.monotonic() - began <= 0.6 + LATE_BY_S) == ("fallback", True)


def test_a_name_is_resolved_once_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was resolved is connected to as it is: an address looked up again would be waited for without a limit."""
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def counted(host: Any, *rest: Any, **options: Any) -> Any:
        asked.append(str(host))
        return resolve("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    with FaultServer([answer(200, chat("1"))] * 4) as server:
        guard = guard_at(f"http://one.example:{server.port}/v1")
        assert [guard.run().status, guard.run().status, asyncio.run(guard.arun()).status] == ["accepted"] * 3
    assert asked == ["one.example"] * 2


def test_an_address_is_not_looked_up() -> None:
    """IPv4 and IPv6 addresses are read; a name, and an address with an interface, are not."""
    assert literal_address("127.0.0.1", 80)[0].socket_address == ("127.0.0.1", 80)
    assert literal_address("::1", 80)[0].socket_address == ("::1", 80, 0, 0)
    assert literal_address("localhost", 80) == literal_address("fe80::1%eth0", 80) == ()


def test_addresses_of_both_kinds_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all addresses of one kind lead nowhere, one attempt is lost and not all of them."""
    six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"::{number}", 80, 0, 0)) for number in (1, 2, 3)]
    four = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*six, *four])
    assert [each.host for each in resolve_name("two.example", 80)] == ["::1", "127.0.0.1", "::2", "::3"]


def test_work_that_is_late_is_left() -> None:
    """What was started is not stopped, and what it raises reaches all who wait."""
    over = threading.Event()
    with pytest.raises(TimeoutError):
        run_within(0.05, "late", over.wait)
    with pytest.raises(TimeoutError):
        asyncio.run(arun_within(0.05, "late", over.wait))
    over.set()
    with pytest.raises(KeyError):
        run_within(5.0, "raises", lambda: {}["x"])
    assert (run_within(5.0, "done", lambda: 3), asyncio.run(arun_within(5.0, "done", lambda: 3))) == (3, 3)


class Connection:
    """A connection in the pool, open until it is told otherwise."""

    def __init__(self) -> None:
        self.idle, self.expired, self.closed = True, False, False

    def is_idle(self) -> bool:
        return self.idle

    def is_available(self) -> bool:
        return self.idle

    def has_expired(self) -> bool:
        return self.expired

    def close(self) -> None:
        self.closed = True

    def create_connection(self, origin: object) -> Connection:
        return Connection()


def test_the_pool_keeps_what_is_open_and_read() -> None:
    """The last one used is taken first; what is unread or expired is closed, and at most a hundred are kept."""
    pool = LockFreePool(Connection())  # type: ignore[arg-type]
    first, second, unread = Connection(), Connection(), Connection()
    unread.idle = False
    for each in (first, second, unread):
        pool.release(each)
    assert (pool.acquire(None), unread.closed) == (second, True)  # type: ignore[arg-type]
    first.expired = True
    pool.release(second)
    assert (first.closed, pool.acquire(None)) == (True, second)  # type: ignore[arg-type]
    many = [Connection() for _ in range(130)]
    for each in many:
        pool.release(each)
    pool.close()
    assert all(each.closed for each in many)
