"""Text to candidates: strict first and exact, then named repairs, each only where the text has one reading."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.canonical import decode_plain
from llmguard.parsing.syntax import KINDS, Parsed, parse_candidates, parse_strict, same_json
from llmguard.parsing.syntax.notes import MOST_OF_ONE_RULE

# Without backspaces and form feeds, whose escapes before a letter are refused: they are LaTeX or a path (principle 14).
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\b\f")
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(LETTERS)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(LETTERS, max_size=8), inner, max_size=4),
    max_leaves=20,
)
containers = st.one_of(st.lists(values, max_size=4), st.dictionaries(st.text(LETTERS, max_size=8), values, max_size=4))


def only(parsed: Parsed) -> object:
    """The value of the one candidate; the test fails where there are more, or it was refused."""
    assert parsed.violation is None
    (candidate,) = parsed.candidates
    assert candidate.refused is None, candidate.refused
    return candidate.value


def rules(text: str) -> list[str]:
    return [repair.rule for repair in parse_candidates(text).candidates[0].repairs]


def refusal(text: str) -> str:
    """The rule by which the one candidate was refused."""
    parsed = parse_candidates(text)
    refused = parsed.violation or parsed.candidates[0].refused
    assert refused is not None, parsed.candidates[0].value
    return refused.rule


@given(values)
def test_strict_json_is_exactly_json_loads(value: object) -> None:
    """Big integers, floats, -0 and the order of keys come out as json.loads gives them, without repairs."""
    text = json.dumps(value)
    (candidate,) = parse_candidates(text).candidates
    assert json.dumps(candidate.value) == json.dumps(json.loads(text))
    assert candidate.repairs == ()


@pytest.mark.parametrize(
    "text", ["-0", "-0.0", "1e5", str(2**64), "[1.0, 10000000000000000000000]", '{"b": 1, "a": 2}', '"\\u00e9"']
)
def test_numbers_and_order_are_kept(text: str) -> None:
    """What orjson would round stays exact."""
    value, violations = parse_strict(text)
    assert (json.dumps(value), violations) == (json.dumps(json.loads(text)), ())


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"a": 1, "a": 2}', "duplicate_key"),
        ('{"a": 1, "a": true}', "duplicate_key"),
        ("[NaN]", "non_finite"),
        ("[-Infinity]", "non_finite"),
        ("[1e400]", "non_finite"),
        ("[" + "9" * 400 + ".0]", "non_finite"),
        ('["\\ud800"]', "lone_surrogate"),
        ('{"\\udfff": 1}', "lone_surrogate"),
        ("[" + "1" * 4301 + "]", "integer_too_long"),
        ("[" * 129 + "]" * 129, "too_deep"),
        ("[1,]", "not_json"),
        ("", "not_json"),
        ("[1] 2", "not_json"),
    ],
)
def test_what_json_loads_would_hide_is_a_violation(text: str, rule: str) -> None:
    """Duplicate keys with another value, non-finite numbers, half characters, long integers and depth are named."""
    assert parse_strict(text)[1][0].rule == rule


def test_a_key_that_repeats_its_value_is_no_violation() -> None:
    """The same key with the same value says one thing."""
    assert parse_strict('{"a": [1], "a": [1.0]}') == ({"a": [1.0]}, ())


def test_brackets_in_strings_do_not_count_as_depth() -> None:
    """Depth is counted on the text, outside strings."""
    assert only(parse_candidates(json.dumps("[" * 1000))) == "[" * 1000


def test_depth_is_settable() -> None:
    """512 levels are read where the caller says so."""
    text = "[" * 512 + "]" * 512
    assert parse_strict(text, max_depth=512)[1] == ()
    assert parse_candidates(text + "]", max_depth=512).candidates[0].repairs[-1].rule == "extra_closer"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'it''s'}".replace("''", "'"), {"a": "it's"}),
        ("{“a”: “b”, ‘c’: „d“}", {"a": "b", "c": "d"}),
        ("{«a»: `b`}", {"a": "b"}),
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2,],}', {"a": [1, 2]}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ('[{"a": 1} {"b": 2}]', [{"a": 1}, {"b": 2}]),
        ('{"a": 1 // note\n, /* b */ "b": 2 # c\n}', {"a": 1, "b": 2}),
        ("{a: 1, b_c: true}", {"a": 1, "b_c": True}),
        ("{'a': True, 'b': None, 'c': (1, 'x')}", {"a": True, "b": None, "c": [1, "x"]}),
        ('{"a": "He said "hi" and left"}', {"a": 'He said "hi" and left'}),
        ('{"a": "one\ntwo\t"}', {"a": "one\ntwo\t"}),
        ('{"a": {"b": [1, {"c": "d"}]}', {"a": {"b": [1, {"c": "d"}]}}),
        ('{"a": [1, 2}', {"a": [1, 2]}),
        ("{a: +1, b: .5, c: 5., d: 0x1F}", {"a": 1, "b": 0.5, "c": 5.0, "d": 31}),
        ("{'a' => 1, b = 2; c: 3}", {"a": 1, "b": 2, "c": 3}),
        ('\ufeff{\u200b"a":\u00a01}', {"a": 1}),
        ("{color: light blue, at: 10:30}", {"color": "light blue", "at": "10:30"}),
        ('"a": 1,\n"b": 2', {"a": 1, "b": 2}),
        ('{"a": """x "y" z"""}', {"a": 'x "y" z'}),
        ("Person(name='Ada', age=36)", {"name": "Ada", "age": 36}),
        ('{\\"a\\": \\"b\\"}', {"a": "b"}),
        ('> {"a":\n> 1}', {"a": 1}),
        ('{"a": "\\d+\\s"}', {"a": "\\d+\\s"}),
        ('{"a": 1}}', {"a": 1}),
        ('{{"a": 1}}', {"a": 1}),
    ],
)
def test_broken_text_with_one_reading_is_read(text: str, value: object) -> None:
    """Quotes, commas, comments, keys, literals, closers: what has one reading comes out, and leaves a receipt."""
    assert same_json(only(parse_candidates(text)), value)
    assert parse_candidates(text).candidates[0].repairs


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x "y", "b": "z" w", "c": 1}',
        '{"a": "Bob, "b": "x"}',
        '{"a": "one" + "two"}',
        '{"a": 1, "a": 2,}',
        "{'a': NaN}",
        "{'a': 1e400}",
        "{'a': (12.50)}",
        "{'a': (1,250)}",
        "[1,,2]",
        '{"a": 12',
        '{"a": "hel',
        '{"a": 1, "b":',
        "[1, 2,",
        '{"a": 1}, "b": 2}',
        '{"x": {"a": [1, 2}, "b": 3}}',
        '{"a": "C:\\Users\\new"}',
        '{"a": tru}',
        "[true false]",
        '{"a": 12,5}',
        "{'a', 'b'}",
        '{"a": "x", "b": {,"c": 1}',
        "['a', b, 'c']",
    ],
)
def test_broken_text_with_several_readings_is_refused(text: str) -> None:
    """Where a sign is missing whose place decides the value, there is no value."""
    assert all(candidate.refused for candidate in parse_candidates(text).candidates)
    assert parse_candidates(text).candidates


def test_a_missing_inner_closer_is_named_as_unsure() -> None:
    """Without a schema nobody knows whether 3 belongs to the inner object or to the outer one."""
    assert parse_candidates('{"a": {"b": 2, "c": 3}').candidates[0].unsure == ("/a",)
    assert parse_candidates('{"a": [2, 3]').candidates[0].unsure == ()


@pytest.mark.parametrize(
    "text", ["[1, 2, ...]", '{"a": 1, ...}', "[1, 2, etc.]", "[1, // 14 more\n]", '{"a": 1 /* maybe 2 */}']
)
def test_what_was_left_out_or_doubted_is_lossy(text: str) -> None:
    """An ellipsis, and a comment that takes a value back, are repairs of kind lossy."""
    assert "lossy" in {repair.kind for repair in parse_candidates(text).candidates[0].repairs}


def test_each_repair_has_path_before_after_and_kind() -> None:
    """A receipt says where, what stood there, what it became, and by which rule."""
    (repair,) = parse_candidates('{"a": {"b": [1, True]}}').candidates[0].repairs
    assert (repair.path, repair.before, repair.after, repair.kind, repair.rule) == (
        "/a/b/1",
        "True",
        True,
        "syntactic",
        "literal",
    )


def test_many_repairs_of_one_rule_are_counted() -> None:
    """Thousands of single quotes are one receipt at the root, with their number."""
    repairs = parse_candidates("[" + "'a', " * 500 + "]").candidates[0].repairs
    (counted,) = [repair for repair in repairs if repair.rule == "single_quotes"]
    assert (counted.path, counted.before.split(",")[0]) == ("", "500 times")
    assert len(parse_candidates("[" + "'a', " * MOST_OF_ONE_RULE + "]").candidates[0].repairs) == MOST_OF_ONE_RULE + 1


def test_every_rule_has_a_kind() -> None:
    """The table of rules knows the four kinds only."""
    assert set(KINDS.values()) == {"lossless", "extracted", "syntactic", "lossy"}


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ('<think>{"a": 0}</think>{"a": 1}', ["thought", "own"]),
        ('so {"a": 0}</think>{"a": 1}', ["thought", "own"]),
        ('Draft: {"a": 0}\nFinal answer: {"a": 1}', ["quoted", "own"]),
        ('For example: {"a": 0}', ["quoted"]),
        ('{"a": 0}\nWait, that is wrong.\n{"a": 1}', ["own", "own"]),
        ('Either {"a": 0} or {"a": 1}', ["quoted", "quoted"]),
        ('The user said: {"a": 0}', ["quoted"]),
        ('Planned: {"a": 0}', ["labelled"]),
        ('```python\nprint(json.dumps({"a": 0}))\n```', ["own"]),
        ('This is not the answer: {"a": 0}', ["quoted"]),
    ],
)
def test_a_value_stands_somewhere(text: str, places: list[str]) -> None:
    """On its own, after a label that the schema may know, in a sentence, or in a thought (principle 2 of reading)."""
    assert [candidate.place for candidate in parse_candidates(text).candidates] == places


def test_a_thought_that_never_ends_cuts_the_reply() -> None:
    """What follows its tag may be a draft, and an answer before it was not all that was to come (principle 29)."""
    assert [parse_candidates(text).violation.rule for text in ('<think>{"a": 0}', '{"a": 1}\n[THINK]hm')] == [
        "truncated"
    ] * 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["Use {curly braces} here.", "See [the manual] (p. 3).", "if (x) { y }", "no value at all", ""]
)
def test_brackets_in_prose_are_no_values(text: str) -> None:
    """Words in brackets are neither values nor broken JSON."""
    assert parse_candidates(text).candidates == ()


@given(containers)
def test_reading_what_was_written_changes_nothing(value: object) -> None:
    """The value of a repaired text, written as JSON, is read back without repairs."""
    first = only(parse_candidates(f"Here: {json.dumps(value)}\nDone.")) if value else value
    assert same_json(only(parse_candidates(json.dumps(first))), value)
    assert parse_candidates(json.dumps(first)).candidates[0].repairs == ()


@pytest.mark.parametrize(
    "text", [json.dumps([1.5, None, "é\ud83d\ude00", {"a b": []}]), "[18446744073709551615]", '"a\\tb"']
)
def test_the_quick_way_reads_what_json_loads_reads(text: str) -> None:
    """What is spelled as the encoder spells it takes the quick way; the value is the same to the last type."""
    value, _ = parse_strict(text)
    assert (json.dumps(value), decode_plain(text) != ()) == (json.dumps(json.loads(text)), "\\u" not in text)


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2}', "[18446744073709551616]", "[1e999]", "[1.50]", "[-0]", '["\ud800"]', "[1,]"]
)
def test_the_quick_way_leaves_what_it_may_read_otherwise(text: str) -> None:
    """Keys that stand twice, long integers and infinities, and every other spelling, go the exact way."""
    assert decode_plain(text) == ()


@pytest.mark.slow
def test_importing_the_parser_compiles_nothing() -> None:
    """A valid reply needs no regular expression; they are compiled at first use."""
    program = (
        "import re; made = []; plain = re.compile; re.compile = lambda *a, **k: made.append(a) or plain(*a, **k);"
        "import llmguard.parsing.syntax, llmguard.parsing.coerce; print([a for a in made if '*+' in str(a[0])])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_a_thousand_equal_damages_are_mended_alike() -> None:
    """Past the receipts that are listed, items are mended in bulk: to the same values, and counted."""
    items = [{"id": number, "on": number % 2 == 0, "tags": ["a,]", "T"]} for number in range(1000)]
    text = json.dumps(items).replace("}, {", ",}, {").replace("true", "True").replace("false", "False")
    (candidate,) = parse_candidates(text).candidates
    assert candidate.value == items
    counted = {repair.rule: str(repair.before).split()[0] for repair in candidate.repairs}
    assert counted == {"trailing_comma": "999", "literal": "1000"}
