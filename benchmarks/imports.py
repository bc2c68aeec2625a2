"""What an import costs, and the memory of a process that has made guarded calls, over one that has made bare ones."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.server import server

IMPORT = """
import time
began = time.process_time()
import llmguard
{use}
print((time.process_time() - began) * 1e3)
import sys
assert "openai" not in sys.modules
"""
BARE = """
import json
from openai import OpenAI
client = OpenAI(base_url={url!r}, api_key="x")
for _ in range(200):
    reply = client.chat.completions.create(model="bench", messages=[{{"role": "user", "content": "Ada"}}])
    json.loads(reply.choices[0].message.content)
"""
GUARDED = """
from llmguard import Guard, OpenAIModel
from benchmarks.overhead import SCHEMA
model = OpenAIModel("bench", base_url={url!r}, api_key="x")
guard = Guard("bench", prompt="{{{{ text }}}}", schema=SCHEMA, models=[model], log="sqlite:///{folder}/memory.db")
for _ in range(200):
    guard(text="Ada")
"""
PEAK = """
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def printed(program: str) -> float:
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    for title, use in (("import llmguard", ""), ("from llmguard import Guard", "from llmguard import Guard")):
        times = [printed(IMPORT.format(use=use)) for _ in range(7)]
        print(f"{title:45s} {median(times):8.0f} ms of CPU")
    with server() as url, tempfile.TemporaryDirectory() as folder:
        bare = median(printed(BARE.format(url=url) + PEAK) for _ in range(3))
        guarded = median(printed(GUARDED.format(url=url, folder=folder) + PEAK) for _ in range(3))
    print(
        f"{'peak memory after 200 calls':45s} {bare:8.1f} MB bare, {guarded:.1f} MB guarded, {guarded - bare:+.1f} MB"
    )


if __name__ == "__main__":
    main()
