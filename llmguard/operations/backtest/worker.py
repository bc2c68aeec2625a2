"""One process of a backtest: builds the guard by its name, and replays the calls whose ids it is sent. See `worker_pool` for
what passes between the processes.

    python -m llmguard.operations.backtest.worker '{"target": {"named": "shop:guard"}, "log": "sqlite:///llmguard.db", ...}'
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from queue import SimpleQueue

from llmguard.core.canonical import decode, encode
from llmguard.core.errors import LLMGuardError
from llmguard.operations.backtest.replay_result import replay_page
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logs import existing_log


def main(arguments: Sequence[str]) -> int:
    """Until standard input ends."""
    order = decode(arguments[0])
    output = os.dup(1)
    os.dup2(2, 1)  # what the user's modules print must not be taken for a result
    pages = _pages()
    try:
        guard, log = find_guard(Target(**order["target"])), existing_log(order["log"])
    except LLMGuardError as error:
        print(error, file=sys.stderr)
        return 2
    os.write(output, encode({"fingerprint": guard.fingerprint}) + b"\n")
    while True:
        for result in replay_page(guard.policy, log, pages.get(), match=order["match"], rerun=order["rerun"]):
            os.write(output, encode(result.to_json()) + b"\n")


def _pages() -> SimpleQueue[list[str]]:
    """The pages as they come. When no more can come, no one reads the results: the process ends, whatever it is doing."""
    pages: SimpleQueue[list[str]] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            pages.put(decode(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True, name="llmguard-replay-pages").start()
    return pages


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
