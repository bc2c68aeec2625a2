"""A whole reply as a server streams it: cut into events at random, and the events into bytes."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

_ENDS = {"completed": "completed", "incomplete": "incomplete", "failed": "failed", "cancelled": "cancelled"}


def pieces(text: str, random: Random) -> list[str]:
    """A text in pieces, some of them empty."""
    cuts = sorted(random.choices(range(len(text) + 1), k=random.randrange(5)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def interleave(lists: list[list[Any]], random: Random) -> list[Any]:
    """The items of several lists, each list in its own order."""
    waiting, mixed = [list(each) for each in lists if each], []
    while waiting:
        chosen = random.choice(waiting)
        mixed.append(chosen.pop(0))
        waiting = [each for each in waiting if each]
    return mixed


def chat_events(reply: Any, random: Random) -> list[Any]:
    """The events of a chat completion: as deltas, or as it is where it cannot be cut or by chance."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not choices or random.random() < 0.1:
        return [reply]
    head = {name: reply[name] for name in ("id", "model") if name in reply}
    chunks = interleave([_choice_chunks(choice, number, random) for number, choice in enumerate(choices)], random)
    events = [{**head, "choices": [chunk]} for chunk in chunks]
    return [*events, {**head, "choices": [], **{name: reply[name] for name in ("usage", "error") if name in reply}}]


def _choice_chunks(choice: Any, number: int, random: Random) -> list[Any]:
    index = choice.get("index", number)
    message = choice.get("message") or {}
    deltas: list[list[Any]] = []
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        value = message.get(name)
        if isinstance(value, list):
            value = [piece for part in value for piece in _part_pieces(part, random)]
            deltas.append([{name: [part]} for part in value])
        elif isinstance(value, str):
            deltas.append([{name: piece} for piece in pieces(value, random)])
    deltas += [_call_fragments(call, place, random) for place, call in enumerate(message.get("tool_calls") or [])]
    if isinstance(message.get("function_call"), dict):
        called = message["function_call"]
        texts = pieces(called["arguments"], random) if isinstance(called.get("arguments"), str) else []
        deltas.append(
            [
                {"function_call": {**called, "arguments": ""}},
                *({"function_call": {"arguments": each}} for each in texts),
            ]
        )
    chunks = [{"index": index, "delta": delta, "finish_reason": None} for delta in interleave(deltas, random)]
    entries = (choice.get("logprobs") or {}).get("content") or []
    last: dict[str, Any] = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason")}
    if "error" in choice:
        last["error"] = choice["error"]
    if entries:
        cut = random.randrange(len(entries) + 1)
        last["logprobs"] = {"content": entries[cut:]}
        chunks.insert(0, {"index": index, "delta": {}, "logprobs": {"content": entries[:cut]}})
    return [{"index": index, "delta": {"role": "assistant", "content": ""}}, *chunks, last]


def _part_pieces(part: Any, random: Random) -> list[Any]:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return [{**part, "text": piece} for piece in pieces(part["text"], random)]
    return [part]


def _call_fragments(call: Any, place: int, random: Random) -> list[Any]:
    """A call by its index, whose first fragment has the id and the name."""
    function = call.get("function") or {}
    arguments = function.get("arguments")
    texts = pieces(arguments, random) if isinstance(arguments, str) else []
    first = {**call, "index": place, "function": {**function, "arguments": "" if texts else arguments}}
    rest = [{"index": place, "function": {"arguments": text}} for text in texts]
    return [{"tool_calls": [each]} for each in (first, *rest)]


def response_events(reply: Any, random: Random) -> list[Any]:
    """The events of a response, whose last one may lack the output."""
    status = reply.get("status") if isinstance(reply, dict) else None
    if not isinstance(reply, dict) or not isinstance(reply.get("output"), list) or status in ("queued", "in_progress"):
        return [reply]
    with_items = random.random() < 0.8
    events: list[Any] = [{"type": "response.created", "response": {**reply, "status": "in_progress", "output": []}}]
    events += interleave(
        [_item_events(item, at, with_items, random) for at, item in enumerate(reply["output"])], random
    )
    last = deepcopy(reply)
    way = random.choice(["whole", "empty", "missing", "hollow"])
    if way == "empty":
        last["output"] = []
    elif way == "missing":
        del last["output"]
    elif way == "hollow":
        last["output"] = [_hollow(item) for item in last["output"]]
    return [*events, {"type": f"response.{_ENDS.get(str(status), 'completed')}", "response": last}]


def _hollow(item: Any) -> Any:
    emptied = {"content": [], "arguments": ""}
    return {name: emptied.get(name, value) for name, value in item.items()} if isinstance(item, dict) else item


def _item_events(item: Any, at: int, with_items: bool, random: Random) -> list[Any]:
    done = {"type": "response.output_item.done", "output_index": at, "item": item}
    if not isinstance(item, dict) or item.get("type") not in ("message", "function_call"):
        return [done]
    events = [{"type": "response.output_item.added", "output_index": at, "item": _hollow(item)}]
    if isinstance(item.get("arguments"), str):
        kind = "response.function_call_arguments"
        events += [
            {"type": f"{kind}.delta", "output_index": at, "delta": text} for text in pieces(item["arguments"], random)
        ]
    for number, part in enumerate(item.get("content") or []):
        member = {"output_text": "text", "refusal": "refusal"}.get(part.get("type")) if isinstance(part, dict) else None
        if member is None or not isinstance(part.get(member), str):
            return [*events, done]
        where = {"output_index": at, "content_index": number}
        kind = f"response.{part['type']}"
        events += [{"type": f"{kind}.delta", **where, "delta": text} for text in pieces(part[member], random)]
        if random.random() < 0.5 or part.get("logprobs"):
            events.append({"type": f"{kind}.done", **where, member: part[member]})
            events.append({"type": "response.content_part.done", **where, "part": part})
    return [*events, done] if with_items else events


def event_bytes(events: list[Any], random: Random, *, done: bool = True) -> bytes:
    """Server-sent events, with the line ends, comments and names that servers choose."""
    end = random.choice(["\n", "\r\n", "\r"])
    lines = ["\ufeff"] if random.random() < 0.2 else [""]
    for event in events:
        if random.random() < 0.2:
            lines.append(f": keep-alive{end}{end}")
        if random.random() < 0.3 and isinstance(event, dict):
            lines.append(f"event: {event.get('type', 'message')}{end}")
        text = json.dumps(event, ensure_ascii=random.random() < 0.5, indent=random.choice([None, None, 1]))
        space = random.choice(["", " "])
        lines += [f"data:{space}{line}{end}" for line in text.split("\n")]
        lines.append(end)
    if done:
        lines.append(f"data: [DONE]{end}{end}")
    return "".join(lines).encode("utf-8", "surrogatepass")


def chunks_of(body: bytes, random: Random) -> list[bytes]:
    """Bytes as a network delivers them."""
    sizes, at, cut = [1, 2, 3, 7, 40, 1500], 0, []
    while at < len(body):
        size = random.choice(sizes)
        cut.append(body[at : at + size])
        at += size
    return cut
