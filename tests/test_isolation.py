"""The guard of tests/isolation.py refuses what it says it refuses."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from tests.isolation import NetworkBlocked, refusal

pytest_plugins = ["pytester"]

FOREIGN = ("192.0.2.1", 80)  # TEST-NET-1, RFC 5737: belongs to nobody


def test_an_unmarked_test_reaches_no_address(refused_connections: list[str], free_port: int) -> None:
    """Without a marker, neither this machine nor another can be connected to, and the error says what to do."""
    with socket.socket() as client:
        with pytest.raises(NetworkBlocked, match=r"mark it @pytest\.mark\.loopback"):
            client.connect(("127.0.0.1", free_port))
        with pytest.raises(NetworkBlocked, match="No test may leave this machine"):
            client.connect_ex(FOREIGN)
    with socket.socket(type=socket.SOCK_DGRAM) as client, pytest.raises(NetworkBlocked):
        client.sendto(b"x", FOREIGN)
    assert len(refused_connections) == 3
    refused_connections.clear()


@pytest.mark.loopback
def test_a_marked_test_reaches_this_machine_only(refused_connections: list[str]) -> None:
    """With the marker a local server answers, and another machine is still out of reach."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        server.accept()[0].close()
        assert client.recv(1) == b""
    with socket.socket() as client, pytest.raises(NetworkBlocked):
        client.connect(FOREIGN)
    refused_connections.clear()


def test_names_are_not_resolved_abroad(refused_connections: list[str]) -> None:
    """A name of another machine is not even looked up; this machine's is."""
    with pytest.raises(NetworkBlocked):
        socket.getaddrinfo("api.example.com", 443)
    refused_connections.clear()
    assert socket.getaddrinfo("localhost", 80)


def test_local_sockets_work_without_a_marker() -> None:
    """An event loop, its self-pipe and a pair of sockets need no network."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"
    assert refusal("/run/some.sock", may_use_loopback=False) is None


def test_no_key_reaches_a_test() -> None:
    """Whatever stands in the environment of the person, a test sees no key, base URL or proxy."""
    foreign = [name for name in os.environ if name.startswith("OPENAI_") or name.upper().endswith("_PROXY")]
    assert foreign == []


def test_a_swallowed_refusal_still_fails_the_test(pytester: pytest.Pytester) -> None:
    """Code that takes the refusal for a network's trouble does not make the test pass."""
    pytester.makepyfile(
        """
        import socket
        def test_swallows():
            with socket.socket() as client:
                try:
                    client.connect(("192.0.2.1", 80))
                except Exception:
                    pass
        """
    )
    outcome = pytester.runpytest("-p", "tests.isolation", "-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=1, errors=1)
    outcome.stdout.fnmatch_lines(["*1 connection(s) refused*"])
