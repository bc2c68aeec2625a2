"""One process of `llmguard replay`: builds the guard by its name, judges the calls whose ids it is sent, says what came of
each. See `llmguard.operations.backtest.worker_pool` for what passes between the processes.

    python -m llmguard.cli.replay_worker '{"target": {"named": "shop:guard"}, "log": "sqlite:///llmguard.db", ...}'
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from queue import SimpleQueue

from llmguard.core.canonical import decode, encode
from llmguard.core.errors import LLMGuardError
from llmguard.operations.backtest.backtesting import judged_page
from llmguard.operations.backtest.progress import judged_to_json
from llmguard.operations.find_guard import Target, find_guard
from llmguard.operations.logs import existing_log


def main(arguments: Sequence[str]) -> int:
    """Until standard input ends."""
    asked = decode(arguments[0])
    output = os.dup(1)
    os.dup2(2, 1)  # what the user's modules print is no answer
    pages = _pages()
    try:
        guard, log = find_guard(Target(**asked["target"])), existing_log(asked["log"])
    except LLMGuardError as error:
        print(error, file=sys.stderr)
        return 2
    os.write(output, encode({"fingerprint": guard.fingerprint}) + b"\n")
    while True:
        for judged in judged_page(guard.policy, log, pages.get(), same=asked["same"], fresh=asked["fresh"]):
            os.write(output, encode(judged_to_json(judged)) + b"\n")


def _pages() -> SimpleQueue[list[str]]:
    """The pages as they come. Where no more can come, the process ends, whatever it is at: nobody hears it any more."""
    pages: SimpleQueue[list[str]] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            pages.put(decode(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True, name="llmguard-replay-pages").start()
    return pages


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
