"""What OpenAI's checker accepts of a fine-tuning file, as its own pages state it.

Chat: cookbook "Data preparation and analysis for chat model fine-tuning" (keys, roles, content, an assistant message),
API reference "FineTuneChatRequestInput" (keys of a row; weight 0 or 1 of an assistant message).
Preference: guide "Direct preference optimization" and "FineTunePreferenceRequestInput" (one assistant message a side).
Both: one JSON object to a line, UTF-8 without a byte order mark.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from llmguard.core.canonical import Json

ROW_KEYS = {"messages", "tools", "parallel_tool_calls", "functions"}
MESSAGE_KEYS = {"role", "content", "name", "function_call", "weight"}
ROLES = {"system", "user", "assistant", "function"}
PREFERENCE_KEYS = {"input", "preferred_output", "non_preferred_output"}


def lines_of(data: bytes) -> list[Json]:
    """The rows of a file, read as strictly as a stranger may: a line ends wherever Unicode or Python says so."""
    assert not data.startswith(b"\xef\xbb\xbf")
    assert data.endswith(b"\n")
    text = data.decode("utf-8")
    assert text.splitlines() == text.split("\n")[:-1]
    return [json.loads(line) for line in text.splitlines()]


def wrong_with_chat(row: Json) -> list[str]:
    """Every rule that a row for supervised fine-tuning breaks."""
    if not isinstance(row, dict) or not row.keys() <= ROW_KEYS:
        return ["a row is an object of messages and tools"]
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        return ["missing_messages_list"]
    found = [said for message in messages for said in wrong_with_message(message)]
    if not any(message.get("role") == "assistant" for message in messages):
        found.append("example_missing_assistant_message")
    return found


def wrong_with_message(message: Json) -> Iterator[str]:
    if not {"role", "content"} <= message.keys():
        yield "message_missing_key"
    if not message.keys() <= MESSAGE_KEYS:
        yield "message_unrecognized_key"
    if message.get("role") not in ROLES:
        yield "unrecognized_role"
    if not isinstance(message.get("content"), str) or not message["content"]:
        yield "missing_content"
    if "weight" in message and (message["role"] != "assistant" or message["weight"] not in (0, 1)):
        yield "weight"


def wrong_with_preference(row: Json) -> list[str]:
    """Every rule that a row for preference fine-tuning breaks."""
    if not isinstance(row, dict) or row.keys() != PREFERENCE_KEYS or row["input"].keys() != {"messages"}:
        return ["a row has input, preferred_output and non_preferred_output"]
    sides = [row["preferred_output"], row["non_preferred_output"]]
    found = ["one assistant message a side" for side in sides if [each.get("role") for each in side] != ["assistant"]]
    messages = [*row["input"]["messages"], *sides[0], *sides[1]]
    found += [said for message in messages for said in wrong_with_message(message)]
    return found + ["weight" for message in messages if "weight" in message]
