"""Values rendered in the ways models answer, and edits of such a reply that change what it says.

A rendering is read as its value, or refused. An edit (sign, digit, unit, negation, hedge, other member, retraction, part) is
read as what it then says, or refused: never as the value before, and never as another one.

    python -m benchmarks.renderings [number of renderings, 2000] [seed]

prints each reply that was read wrong, and how often which habit was refused: what the reader could not decide.
`make fuzz` runs it for long.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from benchmarks.scoreboard import same
from llmguard.core.canonical import Json
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema

Path: TypeAlias = tuple[str | int, ...]
Spellings: TypeAlias = Mapping[Path, str]

TEXT: Final = {"type": "string"}
INTEGER: Final = {"type": "integer"}
NUMBER: Final = {"type": "number"}
TRUTH: Final = {"type": "boolean"}
DATE: Final = {"type": "string", "format": "date"}
ENUMS: Final = (
    ("billing", "shipping", "other"),
    ("positive", "negative", "neutral"),
    ("A", "A-", "B+", "B"),
    ("low", "medium", "high"),
    ("1.5 mg", "15 mg", "5 mg"),
    ("in_stock", "out_of_stock"),
    ("male", "female"),
)
NAMES: Final = {
    "string": ("name", "summary", "city", "note"),
    "integer": ("count", "age", "pages", "floor"),
    "number": ("total", "score", "height_m", "price_usd", "weight_kg"),
    "boolean": ("paid", "urgent", "is_open"),
    "date": ("date", "due"),
    "enum": ("category", "grade", "level"),
    "array": ("tags", "counts", "lines"),
    "object": ("customer", "address"),
}
TEXTS: Final = (
    *("Ada", "O'Brien", "New York, NY", 'the "big" one', "a: b", "C:\\new\\table", "n/a", "none", "12", "-7", "true"),
    *(
        "Zoë 😀",
        "line one\nline two",
        "{braces}",
        "[1, 2]",
        "```",
        "see // here",
        "1/2",
        "Wait, no",
        "not paid",
        "<br>",
        "",
    ),
)


# ---------------------------------------------------------------- schemas and values


@dataclass(frozen=True, slots=True)
class Sample:
    """A schema and a value of it. `leaves`: where its scalars stand, with their schemas."""

    schema: Json
    value: Json
    leaves: tuple[tuple[Path, Json], ...]


def sample_of(rng: random.Random) -> Sample:
    """A scalar, a list or, mostly, an object."""
    kind = rng.choice(["object"] * 6 + ["array", "enum", "integer", "number", "boolean", "date"])
    schema = _schema_of(kind, rng, depth=0)
    value = _value_of(schema, rng)
    return Sample(schema, value, tuple(_leaves(schema, value, ())))


def _schema_of(kind: str, rng: random.Random, depth: int) -> Json:
    if kind == "object":
        kinds = rng.sample([name for name in NAMES if depth < 2 or name not in ("array", "object")], rng.randint(2, 5))
        properties = {rng.choice(NAMES[one]): _schema_of(one, rng, depth + 1) for one in kinds}
        required = [name for name in properties if rng.random() < 0.8] or list(properties)
        closed = {"additionalProperties": False} if rng.random() < 0.7 else {}
        return {"type": "object", "properties": properties, "required": required, **closed}
    if kind == "array":
        one = rng.choice(["string", "integer", "enum", *(["object"] if depth < 2 else [])])
        return {"type": "array", "items": _schema_of(one, rng, depth + 1)}
    if kind == "enum":
        return {"enum": list(rng.choice(ENUMS))}
    scalars = {"string": TEXT, "integer": INTEGER, "number": NUMBER, "boolean": TRUTH, "date": DATE}
    return dict(scalars[kind])


def _value_of(schema: Json, rng: random.Random) -> Json:
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if schema["type"] == "object":
        required = schema["required"]
        chosen = [(name, one) for name, one in schema["properties"].items() if name in required or rng.random() < 0.7]
        return {name: _value_of(one, rng) for name, one in chosen}
    if schema["type"] == "array":
        return [_value_of(schema["items"], rng) for _ in range(rng.randint(0, 3))]
    if schema.get("format") == "date":
        return f"20{rng.randint(10, 29)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    scalars: dict[str, Callable[[], Json]] = {
        "string": lambda: rng.choice(TEXTS),
        "integer": lambda: rng.choice([rng.randint(-9, 99), rng.randint(100, 99_999)]),
        "number": lambda: rng.choice([rng.randint(1, 999), round(rng.uniform(-99, 9999), rng.randint(1, 3))]),
        "boolean": lambda: rng.random() < 0.5,
    }
    return scalars[schema["type"]]()


def _leaves(schema: Json, value: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _leaves(schema["properties"][name], member, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(schema["items"], item, (*path, number))
    else:
        yield path, schema


def at(value: Json, path: Path) -> Json:
    for token in path:
        value = value[token]
    return value


def replaced(value: Json, path: Path, new: Json) -> Json:
    """A copy of `value` with another one at `path`."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


# ---------------------------------------------------------------- how models write a value


@dataclass(frozen=True, slots=True)
class Style:
    """How the JSON of a reply is spelled."""

    indent: int | None = None
    quote: str = '"'
    trailing_comma: bool = False
    python_words: bool = False
    ascii_only: bool = False


def written(value: Json, style: Style, spellings: Spellings | None = None, path: Path = ()) -> str:
    """The text of `value`; a scalar at a path in `spellings` is written as that text says."""
    if spellings and path in spellings:
        return spellings[path]
    if not isinstance(value, dict | list) or not value:
        return _scalar(value, style)
    line = "" if style.indent is None else "\n" + " " * style.indent * (len(path) + 1)
    end = line[: -style.indent] if style.indent else line
    members = value.items() if isinstance(value, dict) else enumerate(value)
    entries = [
        (f"{_scalar(key, style)}: " if isinstance(value, dict) else "")
        + written(member, style, spellings, (*path, key))
        for key, member in members
    ]
    inner = ("," + (line or " ")).join(entries) + ("," if style.trailing_comma else "")
    return f"{{{line}{inner}{end}}}" if isinstance(value, dict) else f"[{line}{inner}{end}]"


def _scalar(value: Json, style: Style) -> str:
    if style.python_words and (isinstance(value, bool) or value is None):
        return str(value)
    text = json.dumps(value, ensure_ascii=style.ascii_only)
    if isinstance(value, str) and style.quote == "'":
        return "'" + text[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    return text


def style_of(rng: random.Random) -> tuple[Style, tuple[str, ...]]:
    """Mostly strict JSON; and the names of what is not."""
    style = Style(
        indent=rng.choice([None, None, 2, 4]),
        quote="'" if rng.random() < 0.12 else '"',
        trailing_comma=rng.random() < 0.12,
        python_words=rng.random() < 0.1,
        ascii_only=rng.random() < 0.3,
    )
    habits = {
        "single quotes": style.quote == "'",
        "trailing comma": style.trailing_comma,
        "Python's words": style.python_words,
    }
    return style, tuple(name for name, is_used in habits.items() if is_used)


# ---------------------------------------------------------------- what models write around it


Habit: TypeAlias = Callable[[str, random.Random], str]

LEAD_INS: Final = (
    *("Here is the extracted data:", "Sure! Here's the JSON:", "Answer:", "Based on the text, this is the result:"),
    *(
        "Voici le résultat :",
        "Hier ist das Ergebnis:",
        "Aquí está el resultado:",
        "以下是结果：",
        "結果は以下のとおりです：",
        "Ответ:",
    ),
    *(
        "I read the document carefully.\n\nResult:",
        "**Answer:**",
        "### Output\n",
        "Of course!",
        "Certainly. I extracted it.\n",
    ),
)
AFTERWORDS: Final = (
    *(
        "Let me know if you need anything else!",
        "I hope this helps.",
        "Note: fields that are not in the text were left out.",
    ),
    "**Explanation:** The values were taken from the document as they are written there.",
    "This JSON object follows the requested schema. Each field was read from the text.",
    "Explanation: the document states each of these fields, and nothing had to be computed.",
)
THOUGHTS: Final = (
    *("The user wants JSON. Let me look at the text.", "First I thought of 7, then of 70. I will answer now.", ""),
    'A draft could be {"draft": true}. That is not the schema.\nI will use the schema.',
)


def _fence(text: str, rng: random.Random) -> str:
    mark = rng.choice(["```json", "```", "```JSON", "~~~json", "```json5"])
    return f"{mark}\n{text}\n{mark[:3]}"


def _lead_in(text: str, rng: random.Random) -> str:
    return f"{rng.choice(LEAD_INS)}{rng.choice([chr(10), chr(10) * 2, ' ' if text[:1] not in '`~' else chr(10)])}{text}"


def _afterword(text: str, rng: random.Random) -> str:
    return f"{text}\n\n{rng.choice(AFTERWORDS)}"


def _thoughts(text: str, rng: random.Random) -> str:
    opener, closer = rng.choice([("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]")])
    return f"{opener}\n{rng.choice(THOUGHTS)}\n{closer}\n\n{text}"


def _white(text: str, rng: random.Random) -> str:
    return rng.choice(["\n\n", " ", "\ufeff", "\r\n"]) + text + rng.choice(["\n", "  \n", "\u200b"])


HABITS: Final[tuple[tuple[str, float, Habit], ...]] = (
    ("fence", 0.4, _fence),
    ("words before", 0.3, _lead_in),
    ("words after", 0.25, _afterword),
    ("thoughts", 0.15, _thoughts),
    ("white space", 0.15, _white),
)
"""In this order from the inside to the outside, each with how often it is used."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """A reply that says `sample.value`, and how it was made, so that it can be made again with an edit in it."""

    sample: Sample
    style: Style
    habits: tuple[str, ...]
    around: tuple[Callable[[str], str], ...] = field(repr=False)

    def text(self, spellings: Spellings | None = None) -> str:
        """The value as written, without what stands around it."""
        return written(self.sample.value, self.style, spellings)

    def reply(self, text: str) -> str:
        for habit in self.around:
            text = habit(text)
        return text


def rendering_of(sample: Sample, rng: random.Random) -> Rendering:
    style, habits = style_of(rng)
    used = [(name, habit) for name, share, habit in HABITS if rng.random() < share]
    around = tuple(_fixed(habit, rng.random()) for _, habit in used)
    return Rendering(sample, style, (*habits, *(name for name, _ in used)), around)


def _fixed(habit: Habit, seed: float) -> Callable[[str], str]:
    """The habit with its choices made, so that an edited reply differs in the edit alone."""
    return lambda text: habit(text, random.Random(seed))


# ---------------------------------------------------------------- edits that change what a reply says


@dataclass(frozen=True, slots=True)
class Edit:
    """A reply that says something else, and the values that a reader may give instead; none where it must refuse."""

    name: str
    reply: str
    allowed: tuple[Json, ...] = ()


def edits_of(rendering: Rendering, rng: random.Random) -> Iterator[Edit]:
    """One edit of each kind that the rendering has a place for."""
    leaves = [(path, schema) for path, schema in rendering.sample.leaves if _kind(schema) != "string"]
    if leaves:
        path, schema = rng.choice(leaves)
        for name, spelling, allowed in _leaf_edits(_kind(schema), schema, at(rendering.sample.value, path), rng):
            values = tuple(replaced(rendering.sample.value, path, one) for one in allowed)
            yield Edit(name, rendering.reply(rendering.text({path: spelling})), values)
    if isinstance(rendering.sample.value, dict):
        yield from _object_edits(rendering, leaves, rng)
    if isinstance(rendering.sample.value, dict | list) and rendering.sample.value:
        yield from _part_edits(rendering, rng)
        yield from _word_edits(rendering, rng)


def _kind(schema: Json) -> str:
    if "enum" in schema:
        return "enum"
    return "date" if schema.get("format") == "date" else str(schema["type"])


LeafEdit: TypeAlias = tuple[str, str, tuple[Json, ...]]


def _leaf_edits(kind: str, schema: Json, value: Json, rng: random.Random) -> Iterator[LeafEdit]:
    makers = {"integer": _number_edits, "number": _number_edits, "boolean": _truth_edits, "date": _date_edits}
    if kind == "enum":
        yield from _member_edits(schema["enum"], value, rng)
    else:
        yield from makers[kind](value, rng)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


NUMBER_HEDGES: Final = (
    *(
        "about {}",
        "~{}",
        "{}?",
        "{} or so",
        "maybe {}",
        "up to {}",
        "at least {}",
        "<{}",
        "> {}",
        "{}+",
        "{} (estimated)",
    ),
    *(
        "circa {}",
        "{} ± 2",
        "{} (was 3)",
        "ca. {}",
        "{}ish",
        "under {}",
        "roughly {}",
        "{} or {}1",
        "{}..{}9",
        "{}-{}1",
    ),
)


def _number_edits(value: Json, rng: random.Random) -> Iterator[LeafEdit]:
    size, sign = abs(value), "-" if value < 0 else ""
    if value:
        other = (
            f"{size}" if sign else rng.choice([f"-{size}", f"\u2212{size}", f"({size})", f"{size}-", f"minus {size}"])
        )
        yield "sign", other if other.lstrip("-") == f"{size}" else _quoted(other), (-value,)
    digits = [index for index, character in enumerate(f"{size}") if character.isdigit()]
    index, text = rng.choice(digits), f"{size}"
    digit = rng.choice([one for one in "123456789" if one != text[index]])
    changed = f"{sign}{text[:index]}{digit}{text[index + 1 :]}"
    yield "digit", changed, (json.loads(changed),)
    scaled = {"k": 1_000, " million": 1_000_000, " thousand": 1_000, " dozen": 12, "M": 1_000_000}
    scale = rng.choice(list(scaled))
    yield "unit", _quoted(f"{value}{scale}"), (value * scaled[scale], round(value * scaled[scale], 6))
    unit = rng.choice(
        [" ft", "%", " percent", " lbs", " GBP", " miles", " inches", "°F", " per day", " of 100000", '"']
    )
    yield "unit", _quoted(f"{value}{unit}"), ()
    yield (
        "negation",
        _quoted(rng.choice([f"not {value}", f"anything but {value}", f"≠ {value}", f"no longer {value}"])),
        (),
    )
    yield "hedge", _quoted(rng.choice(NUMBER_HEDGES).format(value, value)), ()


def _truth_edits(value: Json, rng: random.Random) -> Iterator[LeafEdit]:
    word = "true" if value else "false"
    yield "other member", json.dumps(not value), (not value,)
    yield "negation", _quoted(rng.choice([f"not {word}", f"isn't {word}", f"un{word}"])), (not value,)
    hedges = (
        f"{word}?",
        f"probably {word}",
        "yes and no",
        f"partly {word}",
        "unclear",
        f"{word} (unsure)",
        "depends",
        "maybe",
    )
    yield "hedge", _quoted(rng.choice(hedges)), ()


def _member_edits(members: list[str], value: str, rng: random.Random) -> Iterator[LeafEdit]:
    other = rng.choice([one for one in members if one != value])
    yield "other member", _quoted(other), (other,)
    two = (f"{value} or {other}", f"{value}/{other}", f"{value}, {other}", f"{value} and {other}", f"{value} | {other}")
    yield "other member", _quoted(rng.choice(two)), ()
    negations = (f"not {value}", f"neither {value} nor {other}", f"non-{value}", f"no {value}", f"anything but {value}")
    yield "negation", _quoted(rng.choice(negations)), ()
    hedges = (
        f"{value}?",
        f"maybe {value}",
        f"probably {value}",
        f"{value} (unsure)",
        f"almost {value}",
        f"rather {value}",
    )
    yield "hedge", _quoted(rng.choice(hedges)), ()
    marks = (f"{value}-", f"{value}+", f"-{value}", f"!{value}", f"~{value}", f"{value}*1")
    marked = rng.choice(marks)
    yield "sign", _quoted(marked), (marked,) if marked in members else ()


def _date_edits(value: str, rng: random.Random) -> Iterator[LeafEdit]:
    year, month, day = value.split("-")
    other = f"{year}-{month}-{1 + int(day) % 28:02d}"
    yield "digit", _quoted(other), (other,)
    yield (
        "part",
        _quoted(rng.choice([f"{year}-{month}", year, f"{month}-{day}", f"{year}-{month}-"])),
        (),
    )
    hedges = (f"around {value}", f"before {value}", f"{value}?", f"{value} or {other}", f"by {value}", f"after {value}",
              f"{value} to {other}", f"~{value}", f"since {value}", f"{value} (tentative)")  # fmt: skip
    yield "hedge", _quoted(rng.choice(hedges)), ()
    yield "negation", _quoted(rng.choice([f"not {value}", f"no longer {value}", f"anything but {value}"])), ()


def _object_edits(rendering: Rendering, leaves: list[tuple[Path, Json]], rng: random.Random) -> Iterator[Edit]:
    sample, text = rendering.sample, rendering.text()
    names = set(sample.schema["properties"])
    for name in ("rejected", "not", "example", "previous_answer", "error", "anything_but", "excluded"):
        if name not in names and rng.random() < 0.3 and sample.schema["required"]:
            yield Edit("negation", rendering.reply(f'{{"{name}": {text}}}'))
    numbers = [(path, schema) for path, schema in leaves if _kind(schema) in ("integer", "number")]
    if numbers:
        path, _ = rng.choice(numbers)
        value = at(sample.value, path)
        comment = rng.choice(
            ["/* in thousands */", "/* estimated */", "/* or 7 */", "/* not sure */", f"/* was {value}1 */"]
        )
        yield Edit("hedge", rendering.reply(rendering.text({path: f"{value} {comment}"})))
        if isinstance(path[-1], str):
            twice = f"{value}, {_scalar(path[-1], rendering.style)}: {value + 1}"
            yield Edit("other member", rendering.reply(rendering.text({path: twice})))
        other = written(replaced(sample.value, path, value + 1), rendering.style)
        yield Edit("retraction", rendering.reply(f"{text}\n\n{other}"))
        label = rng.choice(["Corrected JSON:", "Final answer:", "Corrected answer:"])
        last = replaced(sample.value, path, value + 1)
        yield Edit("retraction", f"{text}\n\n{label}\n{other}", (last,))
        name = str(path[-1]) if isinstance(path[-1], str) else "number"
        said = rng.choice(
            [f"Correction: {name} is {value + 1}.", f"EDIT: {name} = {value + 1}", f"The {name} should be {value + 1}."]
        )
        yield Edit("retraction", f"{rendering.reply(text)}\n\n{said}")


def _part_edits(rendering: Rendering, rng: random.Random) -> Iterator[Edit]:
    """The beginning or the end of the text alone. The last closer may be missing at the end of a reply; a beginning that is
    missing up to an entry is what a reply looks like that was begun for the model, so that cut is not made."""
    text = rendering.text()
    whole = rendering.sample.value
    cut = rng.randint(1, len(text) - 1)
    yield Edit(
        "part",
        rendering.reply("\0").split("\0")[0] + text[:cut],
        _whole_but_for_the_last_closer(text[:cut], whole, rendering.style),
    )
    if text[:cut].rstrip()[-1:] not in ("{", "[", ","):
        yield Edit("part", rendering.reply(text[cut:]), (whole,))


def _whole_but_for_the_last_closer(text: str, whole: Json, style: Style) -> tuple[Json, ...]:
    """What the beginning of an object says where only its last closer is missing: its first members."""
    if not isinstance(whole, dict):
        return ()
    beginnings = (dict(list(whole.items())[:count]) for count in range(1, len(whole) + 1))
    wanted = text.rstrip(" \n,")
    return tuple(first for first in beginnings if written(first, style)[:-1].rstrip(" \n,") == wanted)


RETRACTIONS: Final = (
    *("Wait, that is wrong.", "Das stimmt nicht.", "Ignore the above.", "Scratch that.", "No, this is not correct."),
    *(
        "On second thought, do not use this.",
        "Sorry, I made a mistake above.",
        "Non, c'est faux.",
        "Eso es incorrecto.",
    ),
    *(
        "The JSON above is wrong.",
        "Please disregard this answer.",
        "以上是错误的。",
        "Actually, I am not sure this is right.",
    ),
)
REFUSALS: Final = (
    "I cannot give you an answer like {}, because the text does not say it.",
    "The attacker's text says to reply with {}, which I will not do.",
    "The answer is definitely not {}.",
    "You might expect {} here, but the document says otherwise.",
    "If the invoice were paid, the result would be {} instead.",
    "Do you want me to return {}?",
)


def _word_edits(rendering: Rendering, rng: random.Random) -> Iterator[Edit]:
    text = rendering.text()
    yield Edit("retraction", f"{rendering.reply(text)}\n\n{rng.choice(RETRACTIONS)}")
    yield Edit("negation", rng.choice(REFUSALS).format(text))


# ---------------------------------------------------------------- trying


@dataclass(frozen=True, slots=True)
class Trial:
    """What was made of a reply. `edit` is "" for a rendering as it is."""

    edit: str
    habits: tuple[str, ...]
    schema: Json
    reply: str
    allowed: tuple[Json, ...]
    read: tuple[Json, ...]
    why: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it is counted as."""
        habits = tuple(f"habit: {name}" for name in self.habits) or ("habit: none",)
        return (f"edit: {self.edit}",) if self.edit else habits

    @property
    def wrong(self) -> bool:
        """Whether a value came out that the reply does not say."""
        return any(not any(same(one, right) for right in self.allowed) for one in self.read)


def trials(seed: str) -> Iterator[Trial]:
    """One rendering, and its edits."""
    rng = random.Random(seed)
    rendering = rendering_of(sample_of(rng), rng)
    whole = Edit("", rendering.reply(rendering.text()), (rendering.sample.value,))
    schema = compile_schema(rendering.sample.schema)
    for edit in (whole, *edits_of(rendering, rng)):
        reading = read(ModelReply(edit.reply), schema)
        values, why = ((), str(reading.violations[0])) if reading.failure else ((reading.value,), "")
        yield Trial(edit.name, rendering.habits, schema.json_schema, edit.reply, edit.allowed, values, why)


def main(argv: list[str]) -> int:
    count, seed = int(argv[0]) if argv else 2000, int(argv[1]) if argv[1:] else 20260301
    return report(trial for number in range(count) for trial in trials(f"{seed}/{number}"))


def report(found: Iterable[Trial]) -> int:
    """Print what was wrong, and what could not be decided; 1 where anything was wrong."""
    seen: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    undecided: dict[str, Trial] = {}
    for trial in found:
        for kind in trial.kinds:
            seen[kind] += 1
            refused[kind] += not trial.read
            wrong[kind] += trial.wrong
        if trial.wrong:
            print(
                f"WRONG {trial.kinds[0]}\n    schema {json.dumps(trial.schema)[:300]}\n    reply {ascii(trial.reply)[:400]}"
            )
            print(f"    read {ascii(trial.read[0])[:300]}, right {ascii(trial.allowed)[:300]}")
        elif not trial.edit and not trial.read:
            undecided.setdefault(trial.kinds[-1], trial)
    for kind, trial in sorted(undecided.items()):
        print(f"undecided, {kind}: {trial.why}\n    reply {ascii(trial.reply)[:300]}")
    print(f"{'':24s} {'tried':>8s} {'refused':>8s} {'wrong':>6s}")
    for kind in sorted(seen):
        print(f"{kind:24s} {seen[kind]:8d} {refused[kind]:8d} {wrong[kind]:6d}")
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
