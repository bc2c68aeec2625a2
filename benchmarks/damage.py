"""JSON with damage of one known kind is repaired to the original or refused, never read as something else.

    python -m benchmarks.damage [examples a kind, 1000] [seed]

A kind is a function of a text, its value and a random generator that gives the damaged text, or None where it has
nothing to damage. The exit status is 1 where a value came out that is not the original.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from llmguard.core.canonical import Json
from llmguard.parsing.syntax import parse_candidates, parse_strict, same_json

Damage: TypeAlias = Callable[[str, Json, random.Random], str | None]

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_HARD_PARTS = [
    *(
        "'s ",
        ", ",
        ": ",
        '"q" ',
        "{",
        "}",
        "[",
        "]",
        "//",
        "#",
        "\\",
        "\n",
        "\t",
        "...",
        "1,5",
        "“x”",
        "'",
        "null",
        "`",
    ),
    *("/*", "- ", "%", "$5", "😀", "\u2028"),
]


def value_of(rng: random.Random, depth: int = 0) -> Json:
    """A value with what is hard in it."""
    chance = rng.random()
    if depth < 4 and chance < 0.25:
        return {_key(rng): value_of(rng, depth + 1) for _ in range(rng.randint(0, 4))}
    if depth < 4 and chance < 0.45:
        return [value_of(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    scalars = [_text(rng), rng.randint(-1000, 1000), round(rng.uniform(-9, 9), 3), True, False, None, 2**70, 1e-7]
    return rng.choice(scalars)


def container_of(rng: random.Random) -> Json:
    while not isinstance(value := value_of(rng), dict | list):
        pass
    return value


def _key(rng: random.Random) -> str:
    return rng.choice([_word(rng) or "k", _text(rng), "id", "name", "a b", "x-y"])


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abcXYZ é") for _ in range(rng.randint(0, 6))).strip()


def _text(rng: random.Random) -> str:
    return _word(rng) if rng.random() < 0.5 else _word(rng) + rng.choice(_HARD_PARTS) + _word(rng)


def written(value: Json, rng: random.Random) -> str:
    """JSON of `value` in one of the usual layouts."""
    separators = rng.choice([None, (",", ":")])
    return json.dumps(value, ensure_ascii=rng.random() < 0.3, indent=rng.choice([None, None, 2]), separators=separators)


def change_outside_strings(text: str, change: Callable[[str], str]) -> str:
    """`text` with what stands outside its strings changed."""
    parts, position = [], 0
    for found in _STRING.finditer(text):
        parts += [change(text[position : found.start()]), found[0]]
        position = found.end()
    return "".join(parts) + change(text[position:])


def strings(text: str, change: Callable[[str], str]) -> str:
    """`text` with each string changed."""
    return _STRING.sub(lambda found: change(found[0]), text)


def one(text: str, pattern: str, change: Callable[[str], str], rng: random.Random) -> str | None:
    """`text` with one place outside its strings changed that the pattern matches."""
    inside = [found.span() for found in _STRING.finditer(text)]
    spans = [
        found.span()
        for found in re.finditer(pattern, text)
        if not any(start < found.end() and found.start() < end for start, end in inside)
    ]
    if not spans:
        return None
    start, end = rng.choice(spans)
    return text[:start] + change(text[start:end]) + text[end:]


def one_string(text: str, change: Callable[[str], str | None], rng: random.Random) -> str | None:
    """`text` with one of its strings spelled in another way."""
    found = list(_STRING.finditer(text))
    if not found:
        return None
    chosen = rng.choice(found)
    changed = change(json.loads(chosen[0]))
    return None if changed is None else text[: chosen.start()] + changed + text[chosen.end() :]


def _unquoted(text: str) -> str | None:
    return text if text.strip() == text and "\n" not in text else None


def _python(text: str) -> str:
    return text.replace("true", "True").replace("false", "False").replace("null", "None")


KINDS: dict[str, Damage] = {
    "trailing comma": lambda text, _, rng: one(text, r'(?<=[\]}\d"el\s])(?=[\]}])', lambda _: ",", rng),
    "comma becomes a space": lambda text, _, rng: one(text, ",", lambda _: " ", rng),
    "comma is missing": lambda text, _, rng: one(text, ",", lambda _: "", rng),
    "single quotes": lambda text, _, rng: strings(
        text, lambda s: "'" + s[1:-1].replace("'", "\\'").replace('\\"', '"') + "'"
    ),
    "single quotes, unescaped": lambda text, _, rng: strings(text, lambda s: "'" + s[1:-1].replace('\\"', '"') + "'"),
    "Python's repr": lambda text, value, rng: repr(value),
    "quotes unescaped": lambda text, _, rng: text.replace('\\"', '"'),
    "newlines unescaped": lambda text, _, rng: text.replace("\\n", "\n").replace("\\t", "\t"),
    "typographic quotes": lambda text, _, rng: strings(text, lambda s: "“" + s[1:-1].replace('\\"', '"') + "”"),
    "closers are missing": lambda text, _, rng: text.rstrip("]} \n"),
    "one closer is missing": lambda text, _, rng: one(text, r"[\]}]", lambda _: "", rng),
    "one closer is another": lambda text, _, rng: one(text, r"[\]}]", lambda sign: "}" if sign == "]" else "]", rng),
    "further closers": lambda text, _, rng: text + rng.choice(["]", "}", "}}"]),
    "keys without quotes": lambda text, _, rng: re.sub(r'"([A-Za-z_]\w*)"(?=\s*:)', r"\1", text),
    "Python's words": lambda text, _, rng: change_outside_strings(text, _python),
    "comment": lambda text, _, rng: one(
        text, r"[,\[{]", lambda sign: sign + rng.choice([" // note\n", " /* note */ ", " # note\n"]), rng
    ),
    "fence": lambda text, _, rng: f"{rng.choice(['```json', '```', 'Here:' + chr(10) + '```'])}\n{text}\n```",
    "prose": lambda text, _, rng: (
        f"Sure, here is the JSON: {text}{rng.choice(['', ' Hope this helps!', chr(10) + 'Bye'])}"
    ),
    "byte order mark": lambda text, _, rng: "\ufeff" + text,
    "no-break spaces": lambda text, _, rng: change_outside_strings(text, lambda s: s.replace(" ", "\u00a0")),
    "equals signs": lambda text, _, rng: change_outside_strings(text, lambda s: s.replace(":", "=")),
    "cut off": lambda text, _, rng: text[: rng.randrange(len(text))],
    "a sign is missing": lambda text, _, rng: (at := rng.randrange(len(text)), text[:at] + text[at + 1 :])[1],
    "a string without quotes": lambda text, _, rng: one_string(text, _unquoted, rng),
    "an opening quote is missing": lambda text, _, rng: one_string(text, lambda s: json.dumps(s)[1:], rng),
    "a closing quote is missing": lambda text, _, rng: one_string(text, lambda s: json.dumps(s)[:-1], rng),
    "ellipsis": lambda text, _, rng: one(text, r"[\[,]", lambda sign: sign + "...,", rng),
    "said twice": lambda text, _, rng: f"{text}\n{text}",
    "a colon is missing": lambda text, _, rng: one(text, ":", lambda _: "", rng),
}


BLIND = ("a sign is missing", "a string without quotes")
"""After these the text may be what another value would be after another damage: `5.1` becomes `.1`, `[[1]]` becomes `[1]]`.
They are counted, and are no failure."""


def verdict(damaged: str, value: Json) -> str:
    """What the parser makes of a damaged text: right, refused, incomplete (a value that says that its end is missing), as
    it stands (the damage left valid JSON), or WRONG."""
    answers = [one for one in parse_candidates(damaged).candidates if one.place in ("own", "labelled")]
    if not answers or any(not same_json(each.value, answers[0].value) for each in answers):
        return "refused"
    first = answers[0]
    lossy = any(repair.kind == "lossy" for repair in first.repairs)
    if first.refused or first.unsure or lossy:
        return "refused"
    if same_json(first.value, value):
        return "right"
    if not first.complete:
        return "incomplete"
    return "as it stands" if not parse_strict(damaged)[1] else "WRONG"


def tries(kind: str, examples: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Verdicts on so many damaged texts of one kind, and those texts that were read wrong."""
    rng = random.Random(f"{kind} {seed}")
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for _ in range(examples):
        value = container_of(rng)
        text = written(value, rng)
        damaged = KINDS[kind](text, value, rng)
        found = "not damaged" if damaged is None or damaged == text else verdict(damaged, value)
        counts[found] += 1
        wrong += [f"{text}\n    damaged: {damaged}"] if found == "WRONG" else []
    return counts, wrong


def main() -> int:
    examples, seed = (int(each) for each in (*sys.argv[1:3], *("1000", "1")[len(sys.argv) - 1 :]))
    columns = ("right", "refused", "incomplete", "as it stands", "not damaged", "WRONG")
    print(f"{examples:,d} examples of each kind    " + "".join(f"{column:>14s}" for column in columns))
    failed = False
    for kind in KINDS:
        counts, wrong = tries(kind, examples, seed)
        failed = failed or (bool(wrong) and kind not in BLIND)
        print(f"{kind:30s}" + "".join(f"{counts[column]:14d}" for column in columns))
        for each in wrong[:3]:
            print("    " + ascii(each))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
