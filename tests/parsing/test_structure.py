"""What the structure of a reply says: wrappers, tool calls, lists, tuples, closers, comments, code, and what may be left out."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import Reading, ReadingRules, read, reading_rules
from llmguard.parsing.coerce.wrappers import GENERIC
from llmguard.parsing.stream import JsonStreamValidator
from llmguard.schema import compile_schema

TEXT: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer"}
TEAM: dict[str, Any] = {"enum": ["billing", "shipping"]}


def obj(**properties: Any) -> dict[str, Any]:
    """An object with these properties, all of them required."""
    return {"type": "object", "properties": properties, "required": [*properties]}


def list_of(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def reading(text: str, schema: object, **rules: Any) -> Reading:
    return read(ModelReply(text), compile_schema(schema), ReadingRules(**rules))


# ------------------------------------------------------------------------------------------- wrappers


@pytest.mark.parametrize("key", sorted(GENERIC))
def test_a_generic_name_says_nothing_of_its_value(key: str) -> None:
    """The names of the table are taken off, as they are written or as code spells them."""
    assert reading(f'{{"{key}": {{"order": "A1"}}}}', obj(order=TEXT)).value == {"order": "A1"}


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (TEAM, '{"triage": "billing"}', "billing"),
        (TEAM, '{"label": "shipping"}', "shipping"),
        ({**obj(order=TEXT), "title": "PurchaseOrder"}, '{"purchase_order": {"order": "A1"}}', {"order": "A1"}),
        (list_of(TEXT), '{"items": ["a", "b"]}', ["a", "b"]),
        (obj(team=TEAM), '{"team": {"value": "billing"}}', {"team": "billing"}),
        (obj(team=TEAM), '{"result": {"data": {"team": "billing"}}}', {"team": "billing"}),
    ],
)
def test_the_guard_its_schema_and_what_is_due_have_names_too(schema: Json, reply: str, value: Json) -> None:
    """The title, the guard's name, a word for a list where a list is due, and one for a class where an enum is."""
    assert reading(reply, schema, name="triage").value == value


@pytest.mark.parametrize(
    ("schema", "reply"),
    [
        (TEAM, '{"not": "billing"}'),
        (TEAM, '{"excluded": "billing"}'),
        (TEAM, '{"anything_but": ["billing"]}'),
        (obj(team=TEAM), '{"team": {"unlike": "billing"}}'),
        (obj(team=TEAM), '{"team": {"team": "billing"}}'),
        (obj(team=TEAM), '{"rejected": {"team": "billing"}}'),
        (obj(team=TEAM), '{"example": {"team": "billing"}}'),
        (obj(team=TEAM), '{"error": {"team": "billing"}}'),
        (obj(team=TEAM), '{"items": {"team": "billing"}}'),
        (list_of(TEXT), '{"warnings": ["the text is empty"]}'),
        (obj(count=INTEGER), '{"count": {"at_most": 5}}'),
        (obj(note=TEXT, team=TEAM), '{"note": "x", "team": {"triage": "billing"}}'),
    ],
)
def test_any_other_key_means_something(schema: Json, reply: str) -> None:
    """A member's own name, a negation, an error or a bound around a value is no wrapper."""
    assert reading(reply, schema, name="triage").failure == "schema"


CALLS = [
    '{{"name": "{0}", "arguments": {1}}}',
    '{{"name": "{0}", "parameters": {1}}}',
    '{{"type": "tool_use", "id": "toolu_7", "name": "{0}", "input": {1}}}',
    '{{"type": "function", "function": {{"name": "{0}", "arguments": {1}}}}}',
    '{{"tool_calls": [{{"id": "c1", "type": "function", "function": {{"name": "{0}", "arguments": {1}}}}}]}}',
    '{{"functionCall": {{"name": "{0}", "args": {1}}}}}',
    '{{"toolUse": {{"toolUseId": "t1", "name": "{0}", "input": {1}}}}}',
    '{{"action": "{0}", "action_input": {1}}}',
    '{{"tool": "{0}", "arguments": {1}}}',
    '[{{"name": "{0}", "arguments": {1}}}]',
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("arguments", ['{"order": "A1"}', '"{\\"order\\": \\"A1\\"}"'], ids=["object", "text"])
def test_a_call_of_the_tool_that_was_offered_gives_its_arguments(call: str, arguments: str) -> None:
    """In the shape of each large provider, with the arguments as an object or as a text."""
    assert reading(call.format("orders", arguments), obj(order=TEXT), name="orders").value == {"order": "A1"}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_another_tool_gives_nothing(call: str) -> None:
    """Its arguments answer something else, even where they fit."""
    for name in ("orders", ""):
        assert reading(call.format("cancel_order", '{"order": "A1"}'), obj(order=TEXT), name=name).failure


def test_an_object_with_the_keys_of_a_call_stays_itself() -> None:
    """A schema that has a name and an input is no tool call."""
    schema = obj(name=TEXT, input=obj(order=TEXT))
    reply = "{'name': 'orders', 'input': {'order': 'A1'}}"
    assert reading(reply, schema, name="orders").value == {"name": "orders", "input": {"order": "A1"}}


# ------------------------------------------------------------------------------------------- lists and tuples


@pytest.mark.parametrize(
    ("items", "value", "read_as"),
    [
        (TEXT, '"refund"', ["refund"]),
        (TEXT, '"[\\"refund\\"]"', ["refund"]),
        (TEAM, '"Billing"', ["billing"]),
        (INTEGER, "7", [7]),
        (INTEGER, '"7"', [7]),
        (obj(a=INTEGER), '{"a": 1}', [{"a": 1}]),
    ],
)
def test_one_value_for_a_list_is_its_only_item(items: Json, value: str, read_as: Json) -> None:
    """An object, a number, a member of the enum, or a single word."""
    assert reading(f'{{"found": {value}}}', obj(found=list_of(items))).value == {"found": read_as}


@pytest.mark.parametrize(
    "text",
    [
        "no known allergies",
        "none of these",
        "rot und blau",
        "red, blue",
        "red/blue",
        "red+blue",
        "+3",
        "+3 more",
        "keine",
        "Aucun",
        "нет",
        "several",
        "没有",
        "红色和蓝色",
        "",
        " ",
        "-",
        "(none)",
    ],
)
def test_a_text_that_may_name_several_or_none_is_no_item(text: str) -> None:
    """More than one word, a separator, a word for nothing, or a script without spaces between words."""
    assert reading(f'{{"found": "{text}"}}', obj(found=list_of(TEXT))).failure == "schema"


class Position(NamedTuple):
    row: int = 0
    value: int = 0


class Span(NamedTuple):
    first: int
    last_line: int


@pytest.mark.parametrize(
    ("kind", "reply", "value"),
    [
        (Position, '{"row": 3}', [3, 0]),
        (Position, '{"value": 9}', [0, 9]),
        (Span, '{"last_line": 9, "first": 2}', [2, 9]),
        (Span, '{"Last Line": 9, "First": 2}', [2, 9]),
        (Span, '{"result": {"first": 2, "last_line": 9}}', [2, 9]),
    ],
)
def test_a_named_tuple_is_read_by_the_names_of_its_members(kind: type, reply: str, value: Json) -> None:
    """In the order of the tuple, with its defaults."""
    assert reading(reply, kind).value == value


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (Span, '{"first": 2}'),
        (Span, '{"first": 2, "end": 9}'),
        (Span, '{"first": 2, "last_line": 9, "end": 9}'),
        (Span, "3"),
        (Position, "3"),
        (Position, '{"result": 3}'),
        (Position, '{"column": 3}'),
    ],
)
def test_a_named_tuple_is_not_filled_by_guessing(kind: type, reply: str) -> None:
    """A member without a default must be there, others must not, and one value does not say which member it is."""
    assert reading(reply, kind).failure in ("schema", "unparsable")


# ------------------------------------------------------------------------------------------- what may be left out


CLOSED = {**obj(order=TEXT, lines=list_of(obj(sku=TEXT, n=INTEGER))), "additionalProperties": False}


def test_unknown_members_of_a_closed_object_are_dropped_where_that_is_allowed_by_name() -> None:
    """A lossy repair that says what was dropped; `lossy` does not allow it."""
    reply = ModelReply('{"order": "A1", "lines": [], "note": {"a": 1}}')
    schema = compile_schema(CLOSED)
    found = read(reply, schema, reading_rules(["lossless", "drop_unknown"]))
    assert found.value == {"order": "A1", "lines": []}
    assert [(each.path, each.kind, each.rule) for each in found.repairs] == [("/note", "lossy", "drop_unknown")]
    for repairs in (["lossless"], ["lossless", "lossy"], ["lossy", "drop_unknown", "-drop_unknown"]):
        assert read(reply, schema, reading_rules(repairs)).violations[0].rule == "additionalProperties"
    open_schema = compile_schema({**CLOSED, "additionalProperties": True, "required": ["order", "lines", "x"]})
    assert read(reply, open_schema, reading_rules(["lossless", "drop_unknown"])).failure == "schema"


def test_items_that_do_not_fit_are_left_out_where_that_is_allowed_by_name() -> None:
    """Those that fit are kept, mended as ever; at least one must fit."""
    schema = compile_schema(CLOSED)
    rules = reading_rules(["lossless"], {"/lines": ["lossless", "salvage_items"]})
    found = read(
        ModelReply('{"order": "A1", "lines": [{"sku": "x", "n": "2"}, {"sku": "y", "n": "many"}, 5]}'), schema, rules
    )
    assert found.value == {"order": "A1", "lines": [{"sku": "x", "n": 2}]}
    assert [each.path for each in found.repairs if each.rule == "salvage_items"] == ["/lines/1", "/lines/2"]
    none_fits = ModelReply('{"order": "A1", "lines": [5, 6]}')
    assert read(none_fits, schema, rules).failure == "schema"
    elsewhere = reading_rules(["lossless"], {"/other": ["salvage_items"]})
    assert (
        read(ModelReply('{"order": "A1", "lines": [{"sku": "x", "n": 2}, 5]}'), schema, elsewhere).failure == "schema"
    )


def test_a_stream_does_not_judge_what_may_be_left_out() -> None:
    """What the reader would drop at the end is no reason to stop earlier; what no reader takes still is."""
    lenient, judging = (JsonStreamValidator(CLOSED, judges=judges) for judges in (False, True))
    for validator in (lenient, judging):
        validator.feed('{"order": "A1", "note": 5, "lines": [{"sku": 1, ')
    assert lenient.violation is None and judging.violation is not None
    lenient.feed('"sku": 2, "n": 3}')
    assert lenient.violation is not None and lenient.violation.rule == "duplicate_key"


# ------------------------------------------------------------------------------------------- closers

OWNER = {
    "type": "object",
    "properties": {"id": TEXT, "owner": obj(name=TEXT), "locked": {"type": "boolean"}},
    "required": ["id"],
}


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (obj(a=TEXT), '{"a": "x"', {"a": "x"}),
        (obj(a=TEXT), '{"a": "x"  \n', {"a": "x"}),
        (obj(a=TEXT), '```json\n{"a": "x"\n```', {"a": "x"}),
        (obj(a=list_of(TEXT)), '{"a": ["x", "y"]', {"a": ["x", "y"]}),
        (obj(a=list_of(TEXT), b=TEXT), '{"a": ["x", "y"}', {"a": ["x", "y"]}),
        (OWNER, '{"id": "1", "owner": {"name": "Kim"}', {"id": "1", "owner": {"name": "Kim"}}),
    ],
)
def test_one_closer_may_be_missing(schema: dict[str, Any], reply: str, value: Json) -> None:
    """The last brace, or one that another closer stands for."""
    assert reading(reply, {**schema, "required": []}).value == value


@pytest.mark.parametrize(
    ("schema", "reply"),
    [
        (list_of(TEXT), '["a", "b"'),
        (list_of(TEXT), '```json\n["a", "b"\n```'),
        (obj(a=list_of(TEXT)), '{"a": ["b", "c"'),
        (obj(a=list_of(obj(b=TEXT))), '{"a": [{"b": "c"}'),
        (obj(a=obj(b=TEXT)), '{"a": {"b": "c"'),
        (obj(a=TEXT), '{"a": "x",'),
        (obj(a=TEXT), '{"a": "x'),
        (obj(a=TEXT), '{\n  "a": "x"\n  '),
    ],
)
def test_what_is_open_otherwise_at_the_end_was_cut(schema: Json, reply: str) -> None:
    """Whatever the server says of its end: a list may have had more items."""
    assert reading(reply, schema).failure == "truncated"


@pytest.mark.parametrize(
    ("schema", "reply"),
    [
        (OWNER, '{"id": "1", "owner": {"name": "Kim", "locked": true}'),
        (list_of(OWNER), '[{"id": "1", "owner": {"name": "Kim", "locked": true}]'),
        (OWNER, '{"owner": {"id": "1", "name": "Kim"}'),
        ({**obj(owner=OWNER)}, '{"owner": {"id": "1"}, "locked": true}}'),
        (obj(a=list_of(list_of(TEXT))), '{"a": [["x"], ["y"}'),
        (list_of(TEXT), '["a"] "b", "c"]'),
        (list_of(TEXT), '["a"] "b"'),
        (list_of(INTEGER), "[1, 2] 3, 4]"),
        (list_of(list_of(INTEGER)), "[[1], [2],]\n 3\n ]"),
        (obj(a=TEXT), '{"a": "x", "a": "y"}'),
    ],
)
def test_members_and_items_that_may_have_moved_are_refused(schema: Json, reply: str) -> None:
    """A closer inside is missing or too early, and what came after it may belong elsewhere; and a name that says two things."""
    assert reading(reply, schema).failure == "unparsable"


def test_words_after_extra_closers_are_no_left_over() -> None:
    """One bracket too many, and a sentence."""
    assert reading('{"a": ["x"]}}\n\nLet me know [if] you need more.', obj(a=list_of(TEXT))).value == {"a": ["x"]}


# ------------------------------------------------------------------------------------------- comments and calls

STOCK = {"type": "object", "properties": {"n": INTEGER, "team": TEAM, "box": {}, "lid": {}}}


@pytest.mark.parametrize(
    "words", ["boxes on the pallet", "the count", "see the list", "Anzahl der Kisten", "second pallet"]
)
@pytest.mark.parametrize("comment", ["// {}\n", "# {}\n", "/* {} */", "<!-- {} -->"])
def test_a_comment_that_only_explains_is_dropped(words: str, comment: str) -> None:
    """In each style; it is a repair."""
    found = reading(f'{{"n": 8, {comment.format(words)} "team": "billing"}}', STOCK)
    assert found.value == {"n": 8, "team": "billing"}
    assert [each.rule for each in found.repairs] == ["comment"]


@pytest.mark.parametrize(
    "words",
    [
        "really 9",
        "in millions",
        "thousands",
        "kg",
        "per dozen",
        "%",
        "EUR",
        "not sure",
        "maybe",
        "should be higher",
        "was changed",
        "nicht sicher",
        "eigentlich mehr",
        "peut-être",
        "不是",
        "shipping",
        "or shipping",
        "…",
        "?",
    ],
)
@pytest.mark.parametrize("comment", ["// {}\n", "/* {} */"])
def test_a_comment_that_may_change_the_value_refuses_it(words: str, comment: str) -> None:
    """A number, a unit, a scale, a doubt, a negation, a change, or another member of the enum."""
    assert reading(f'{{"team": "billing", "n": 8 {comment.format(words)} }}', STOCK).failure == "unparsable"


def test_a_comment_may_repeat_what_was_chosen() -> None:
    """The member that it names is the one beside it."""
    assert reading('{"team": "billing", // billing as the text says\n "n": 8}', STOCK).value == {
        "team": "billing",
        "n": 8,
    }


@pytest.mark.parametrize(
    "reply",
    [
        '{"n": 8, # count, "team": "billing"}',
        '{"box": {"n": 8 # count }, "lid": 1}',
        '{\n"n": 8 # count }\n',
        '{\n"n": 8,\n// "team": "billing"\n}',
        '{"n": 8, /* "team": "billing" */ "lid": 1}',
    ],
)
def test_a_comment_swallows_no_structure(reply: str) -> None:
    """A bracket or a quoted key after `#` or `//` may belong to the value, and one in `/* */` may have been meant."""
    assert reading(reply, STOCK).failure in ("unparsable", "truncated")


def test_a_call_with_keywords_is_a_value_of_its_name() -> None:
    """Python's way to show a value: by its type, or by the name of the guard; a call of anything else is not read."""
    schema = {**obj(order=TEXT, lines=list_of(obj(sku=TEXT))), "title": "Order"}
    reply = "{}(order='A1', lines=[{}(sku='x')])"
    for name, item in (("Order", "Line"), ("models.Order", "Line"), ("triage", "dict")):
        assert reading(reply.format(name, item), schema, name="triage").value == {
            "order": "A1",
            "lines": [{"sku": "x"}],
        }
    for name, item in (("cancel", "Line"), ("Order", "Rejected")):
        assert reading(reply.format(name, item), schema, name="triage").failure == "unparsable"


# ------------------------------------------------------------------------------------------- quotes, code, lists that go on


@pytest.mark.parametrize(
    ("schema", "reply", "value"),
    [
        (obj(a=TEXT), '{"a": "print("x")"}', {"a": 'print("x")'}),
        (obj(a=TEXT, b=TEXT), '{"a": "f("x", 2)", "b": "y"}', {"a": 'f("x", 2)', "b": "y"}),
        (obj(a=TEXT), '{"a": "a 27" screen"}', {"a": 'a 27" screen'}),
        (obj(a=TEXT), '{"a": "about 3/4" wide"}', {"a": 'about 3/4" wide'}),
        (obj(a=TEXT), '{"a": ```run()```}', {"a": "run()"}),
        (obj(a=TEXT), '{"a": ```\nrun()\n```}', {"a": "run()"}),
        (obj(a=TEXT), '{"a": ```python\nrun()\nend()\n```}', {"a": "run()\nend()"}),
        (obj(a=TEXT), '{"a": ```js lib/a.js\n  run()\n  ```}', {"a": "  run()"}),
    ],
)
def test_texts_with_one_possible_end_are_read(schema: Json, reply: str, value: Json) -> None:
    """A parenthesis that nothing opened closes nothing, inches stand after a number, and a fence's own lines are the fence's."""
    assert reading(reply, schema).value == value


@pytest.mark.parametrize(
    ("schema", "reply"),
    [
        (obj(a=TEXT, b=TEXT), '{"a": "B52"", "b": "x"}'),
        (obj(a=TEXT, b=TEXT), '{"a": "27"", "b": "x"}'),
        (obj(a=TEXT), '{"a": "M8" long"}'),
        (list_of(TEXT), '["K-10" K-11", "K-12"]'),
        (list_of(TEXT), '["10" 11", "12"]'),
        (list_of(obj(a=TEXT)), '[{"a": "nut}, {"a": bolt"}]'),
        (obj(a=TEXT), '{"a": ```python run()```}'),
        (obj(a=TEXT), '{"a": ```\nprint("\\n")\n```}'),
    ],
)
def test_a_slip_of_a_quotation_mark_is_not_guessed(schema: Json, reply: str) -> None:
    """Doubled or lost marks, a mark after no number, and a text that may hold the next member."""
    assert reading(reply, schema).failure in ("unparsable", "truncated")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("r = ", '\nr["n"] = 25'),
        ("r = ", "\nr['n'] += 5\nprint(r)"),
        ("const r = ", ";\nr.n = 25;"),
        ("let r: Stock = ", ";\nr = next(r);"),
        ("r = ", "\ndel r['n']"),
        ("r = ", "\nr.update(n=25)"),
        ("r = ", "\ntotal = fix(r)"),
        ("r = ", "\nprint({**r, 'n': 1})"),
        ("print(", '["n"])'),
        ("", ".update(n=25)"),
    ],
)
def test_code_that_goes_on_with_a_value_refuses_it(before: str, after: str) -> None:
    """The value that the code ends with is not the one in its text."""
    for text in (before + '{"n": 20}' + after, f'```python\n{before}{{"n": 20}}{after}\n```'):
        assert reading(text, obj(n=INTEGER)).failure


@pytest.mark.parametrize("after", ["\nprint(r)", "\nprint(json.dumps(r))", "\nreturn r", ";\nconsole.log(r);", ""])
def test_code_that_shows_a_value_keeps_it(after: str) -> None:
    """Printing a value changes nothing."""
    assert reading(f'```python\nr = {{"n": 20}}{after}\n```', obj(n=INTEGER)).value == {"n": 20}


@pytest.mark.parametrize(
    "last",
    [
        "and 4 more",
        "4 more",
        "+4",
        "+ 12 others",
        "(3 more items)",
        "and several others",
        "and so on",
        "etc.",
        "…",
        "... and others",
        "plus two more",
        "und 5 weitere",
        "et 3 autres",
        "y otros",
        "и ещё",
        "等",
        "ほか3名",
        "[list truncated]",
        "remaining items omitted",
    ],
)
@pytest.mark.parametrize("reply", ['{{"a": ["Ida", "Jon", "{}"]}}', "{{'a': ['Ida', 'Jon', '{}',]}}"])
def test_a_list_that_says_it_goes_on_is_not_whole(last: str, reply: str) -> None:
    """Strictly valid or mended: its last item is no item."""
    found = reading(reply.format(last), obj(a=list_of(TEXT)))
    assert found.failure and found.violations[0].rule in ("omitted_items", "placeholder")


@pytest.mark.parametrize(
    "last", ["more", "Others", "The Others", "Jane and others v. Smith", "cook 5 more minutes", "rest"]
)
def test_an_item_with_such_a_word_is_an_item(last: str) -> None:
    """A title, a step, a member of the enum, or one of several that are counted."""
    assert reading(f'{{"a": ["Ida", "{last}"]}}', obj(a=list_of(TEXT))).value == {"a": ["Ida", last]}
    assert reading('{"a": ["1 car", "2 other cars"]}', obj(a=list_of(TEXT))).value == {"a": ["1 car", "2 other cars"]}
    schema = obj(a=list_of({"enum": ["Ida", "and more"]}))
    assert reading('{"a": ["Ida", "and more"]}', schema).value == {"a": ["Ida", "and more"]}


@pytest.mark.parametrize(
    ("schema", "reply"),
    [
        (obj(items=list_of(TEXT)), '{"items": {"items": ["x"]}}'),
        (list_of(list_of(INTEGER)), "[[1, 2], 3, 4]"),
        (obj(a=list_of({"type": "object"})), '{"a": {}}'),
        (obj(a=list_of(TEXT)), '{"a": "N.A."}'),
        (obj(a=TEXT, b=TEXT), '{"a": ""x"", "b": "y"}'),
        (list_of(TEXT), '["a", // "b",\n "c"]'),
        ({"properties": {"a": TEXT, "b": TEXT}}, '{"a": "x", // b: "y"\n}'),
        ({"properties": {"a": TEXT, "b": TEXT}}, '{"a": "x", // b is missing\n}'),
        (list_of(INTEGER), "x = [1, 2] * 2"),
        (obj(n=INTEGER), "result = json.loads('{\"n\": 20}')\nresult['n'] = 25"),
        (obj(n=INTEGER), 'self.result = {"n": 20}\nself.result["n"] = 25'),
        (list_of(obj(a=TEXT)), '[{"a": "x"}, {"a": "and 3 more"}]'),
        ({"additionalProperties": TEXT}, '{"a": "x", "...": "and so on"}'),
    ],
)
def test_further_slips_of_the_same_kinds_are_refused(schema: Json, reply: str) -> None:
    """A wrapper named as its member, a row without brackets, quotes doubled on both sides, members in comments, code."""
    assert reading(reply, schema).failure


def test_the_info_line_of_a_fence_is_no_part_of_a_text() -> None:
    """It may be several words; the text begins on the next line."""
    assert reading("```python setup.py\nrun()\n```", TEXT).value == "run()"


@pytest.mark.parametrize("call", ["{}({{}})", "<function={}>{{}}</function>", "return {}({{}});"])
def test_a_call_around_a_value_must_be_of_the_guard_or_hand_it_on(call: str) -> None:
    """As code or as a tag: the tool that was offered, or a function that shows a value as it is."""
    schema = obj(order=TEXT)
    for name in ("orders", "print", "submit"):
        assert reading(call.format(name).replace("{}", '{"order": "A1"}'), schema, name="orders").value == {
            "order": "A1"
        }
    for name in ("cancel_order", "orders.cancel", "undo"):
        assert reading(call.format(name).replace("{}", '{"order": "A1"}'), schema, name="orders").failure
