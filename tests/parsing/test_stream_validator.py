"""The reader of growing replies: it shows only what the whole reply will say, and refuses only what reading refuses."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.canonical import Json
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.parsing.stream import JsonStreamValidator, StreamLocations
from llmguard.schema import compile_schema

PERSON = {
    "type": "object",
    "properties": {
        "full_name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "team": {"type": "string", "enum": ["BILLING", "SALES"], "x-aliases": {"SALES": ["outbound"]}},
        "active": {"type": "boolean"},
        "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"},
        "score": {"type": "number"},
        "nick": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
        "address": {"$ref": "#/$defs/address"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "choice": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
    },
    "required": ["full_name", "age"],
    "additionalProperties": False,
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        }
    },
}
ESSAY = {"type": "object", "properties": {"title": {"type": "string"}, "body": {"type": "string", "x-stream": True}}}


def fed(schema: Json, deltas: Iterable[str], **options: Json) -> JsonStreamValidator:
    watcher = JsonStreamValidator(schema, **options)
    for delta in deltas:
        watcher.feed(delta)
    return watcher


def shown(schema: Json, deltas: Iterable[str]) -> list[Json]:
    """Every value that was shown, as it was then."""
    watcher, found = JsonStreamValidator(schema), []
    for delta in deltas:
        if watcher.feed(delta):
            found.append(json.loads(json.dumps(watcher.value)))
    return found


def chunks(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def grows_into(partial: Json, whole: Json, *, text: bool = False) -> bool:
    """Whether `partial` may stand for `whole` while that is being written."""
    if isinstance(partial, dict) and isinstance(whole, dict):
        same_keys = list(partial) == list(whole)[: len(partial)]
        return same_keys and all(grows_into(partial[key], whole[key], text=text) for key in partial)
    if isinstance(partial, list) and isinstance(whole, list):
        return len(partial) <= len(whole) and all(
            grows_into(part, item, text=text) for part, item in zip(partial, whole, strict=False)
        )
    if text and isinstance(partial, str) and isinstance(whole, str):
        return whole.startswith(partial)
    return type(partial) is type(whole) and partial == whole


# Without backspaces and form feeds, whose escapes before a letter are refused: they are LaTeX or a path (principle 14).
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\b\f")
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(LETTERS)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(LETTERS), inner, max_size=4),
    max_leaves=12,
)
containers = st.lists(values, max_size=4) | st.dictionaries(st.text(LETTERS), values, max_size=4)
layouts: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {"ensure_ascii": st.booleans(), "indent": st.none() | st.integers(0, 2)}
)


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """`text` in deltas of any length, some empty."""
    at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[one:other] for one, other in zip([0, *at], [*at, len(text)], strict=True)]


class TestValue:
    @given(st.data(), containers, layouts)
    def test_what_is_shown_last_is_what_json_says_of_the_whole(self, data: st.DataObject, value: Json, layout: Json):
        """Any JSON object or list, in any layout and any deltas, ends as `json.loads` reads it, key order included."""
        text = json.dumps(value, **layout)
        watcher = fed({}, data.draw(cut(text)))
        assert (json.dumps(watcher.value), watcher.violation) == (json.dumps(json.loads(text)), None)

    @pytest.mark.slow
    @given(containers, layouts, st.integers(1, 5), st.booleans())
    def test_what_is_shown_grows_into_the_whole(self, value: Json, layout: Json, size: int, streams: bool):
        """Keys come in order, lists by their beginning, scalars whole; a streamed text by its beginning."""
        schema = everywhere({"x-stream": streams})
        partials = shown(schema, chunks(json.dumps(value, **layout), size))
        assert all(grows_into(partial, value, text=streams) for partial in partials)
        assert all(grows_into(one, other, text=streams) for one, other in pairwise(partials))

    @given(containers, layouts)
    def test_feed_is_true_exactly_when_something_new_is_shown(self, value: Json, layout: Json):
        """`feed` and `version` tell what a comparison of the values would tell."""
        watcher, before = JsonStreamValidator(everywhere({"x-stream": True})), "null"
        for sign in json.dumps(value, **layout):
            version = watcher.version
            new = watcher.feed(sign)
            now = json.dumps(watcher.value)
            assert new == (now != before) == (watcher.version > version)
            before = now

    def test_a_scalar_appears_when_its_end_was_seen(self):
        """12 may be the start of 125, and "A" of "Ada"."""
        assert shown({}, ['{"a": 12', "5", ', "b": "A', 'da"', ', "c": tru', "e", "}"]) == [
            {"a": 125},
            {"a": 125, "b": "Ada"},
            {"a": 125, "b": "Ada", "c": True},
        ]

    def test_a_container_appears_with_its_first_entry_or_its_end(self):
        """An empty object that is still open is not shown."""
        assert shown({}, list('{"a":{"b":[[],{"c":1}]}}')) == [
            {"a": {"b": [[]]}},
            {"a": {"b": [[], {"c": 1}]}},
        ]

    def test_the_value_is_one_live_object(self):
        """What was shown grows in place; who keeps it copies it."""
        watcher = JsonStreamValidator({})
        watcher.feed("[1,")
        kept = watcher.value
        watcher.feed("2]")
        assert kept is watcher.value
        assert kept == [1, 2]

    @pytest.mark.parametrize(
        ("schema", "text", "expected"),
        [
            ({"type": "string"}, '"abc"', "abc"),
            ({"type": "integer"}, "12 ", 12),
            ({"type": "integer"}, "12", None),
            ({"type": ["boolean", "null"]}, " true\n", True),
            ({"type": "string"}, 'He said "abc"', None),
            ({"type": "object"}, "12 ", None),
        ],
    )
    def test_a_scalar_is_the_value_where_the_schema_wants_one_and_the_reply_begins_with_it(
        self, schema: Json, text: str, expected: Json
    ):
        """Elsewhere a scalar in a reply is prose."""
        assert fed(schema, list(text)).value == expected

    def test_a_key_that_stands_twice_with_the_same_value_is_shown_once(self):
        """The second is compared aside, and then stands as `json.loads` has it."""
        assert shown({}, list('{"a":{"b":[1]},"a":{"b":[1.0]},"c":2}'))[1:] == [{"a": {"b": [1.0]}, "c": 2}]

    @pytest.mark.parametrize(
        ("text", "before"),
        [
            ("{'a': 1}", None),
            ("{a: 1}", None),
            ('{"a" 1}', None),
            ('{"a": 01}', None),
            ('{"a": "x\ny"}', None),
            ('{"a": "\\x"}', None),
            ('{"a": 1 // no\n}', {"a": 1}),
            ('["x" "y"]', ["x"]),
            ("[1,]", [1]),
        ],
    )
    def test_text_that_is_no_strict_json_is_left_to_the_final_reading(self, text: str, before: Json):
        """What was shown before stays, nothing is added, and there is no violation."""
        watcher = fed({}, list(text))
        assert (watcher.feed(' {"b": 2}'), watcher.value, watcher.violation) == (False, before, None)

    @pytest.mark.parametrize(
        "text", ['{"full_name": "Ada"}', '[{"full_name": "Ada"}]', '{"person": {"full_name": "Ada"}}']
    )
    def test_a_root_of_another_type_is_not_shown(self, text: str):
        """A list where an object is due is wrapped around it, or wrong: it is no partial value of that schema."""
        assert isinstance(fed(PERSON, list(text)).value, dict | None)


class TestStreamedText:
    def test_a_text_that_streams_appears_as_it_grows(self):
        """The other texts wait for their end."""
        assert shown(ESSAY, ['{"title": "O', 'n"', ', "body": "', "All ", "is", ' well"}']) == [
            {"title": "On"},
            {"title": "On", "body": "All "},
            {"title": "On", "body": "All is"},
            {"title": "On", "body": "All is well"},
        ]

    @pytest.mark.parametrize("size", [1, 2, 50])
    def test_it_shows_no_control_character_that_the_final_reading_refuses(self, size: int):
        """A backslash before f that was not doubled: what came before it stands, the final reading decides."""
        assert shown(ESSAY, chunks(r'{"body": "so \frac{3}{4}"}', size))[-1] == {"body": "so "}

    @given(st.text(LETTERS), st.booleans())
    def test_it_never_shows_half_a_character(self, body: str, ascii_only: bool):
        """Neither half an escape nor half a surrogate pair, whatever the deltas."""
        partials = shown(ESSAY, list(json.dumps({"body": body}, ensure_ascii=ascii_only)))
        assert all(body.startswith(partial["body"]) for partial in partials)
        assert not body or partials[-1] == {"body": body}

    @pytest.mark.parametrize(
        "where", [{"$ref": "#/$defs/text"}, {"anyOf": [{"$ref": "#/$defs/text"}, {"type": "null"}]}]
    )
    def test_the_schema_may_say_so_behind_a_reference_or_in_a_branch(self, where: Json):
        """`x-stream` is looked for in all that may apply."""
        schema = {"properties": {"a": where}, "$defs": {"text": {"type": "string", "x-stream": True}}}
        assert shown(schema, ['{"a": "x', "y"]) == [{"a": "x"}, {"a": "xy"}]

    def test_a_text_that_stands_twice_is_not_shown_anew(self):
        """The second is compared aside."""
        text = '{"body": "ab", "body": "ab", "title": "x"}'
        assert shown(ESSAY, list(text)) == [{"body": "a"}, {"body": "ab"}, {"body": "ab", "title": "x"}]

    def test_texts_in_a_list_stream_too(self):
        """Each item grows at its own place."""
        schema = {"type": "array", "items": {"type": "string", "x-stream": True}}
        assert shown(schema, ['["a', 'b", "c', "d"]) == [["a"], ["ab", "c"], ["ab", "cd"]]


class TestPreamble:
    @pytest.mark.parametrize("size", [1, 4, 1000])
    @pytest.mark.parametrize(
        "before",
        [
            "",
            "\ufeff \n",
            "```json\n",
            "```\n",
            "Sure, here it is:\n\n```json\n",
            "As source [1] says, {placeholder} is meant: ",
            '<think>{"full_name": "Bob"} [THINK] </think>\n',
            "[THINK] maybe {1} [/THINK]",
            'so {"full_name": "Bob"} </think>',
            "a < b, so: ",
            "<b>",
        ],
    )
    def test_what_precedes_the_value_is_not_shown(self, before: str, size: int):
        """Prose, an opening fence and thoughts are set aside; so is a thought whose opening tag the prompt held."""
        text = before + '{"full_name": "Ada", "age": 36}\n```\nHope this helps {or not}!'
        watcher = fed(PERSON, chunks(text, size))
        assert watcher.violation is None
        if "Bob" not in before or before.startswith("<think>"):
            assert watcher.value == {"full_name": "Ada", "age": 36}

    def test_an_unclosed_thought_hides_all(self):
        """Nothing in it is an answer."""
        assert fed({}, list('<think>let me see {"a": 1}')).value is None

    def test_a_value_after_prose_may_be_an_example(self):
        """So it is shown, and not judged."""
        watcher = fed(PERSON, ['For example {"full_name": "Ada", "age": 200, "zip": 1} would be wrong'])
        assert (watcher.value["age"], watcher.violation) == (200, None)

    def test_brackets_within_broken_json_begin_no_value(self):
        """An object in single quotes is the answer, and what it holds is not."""
        assert fed(PERSON, list("Sure: {'person': " + '{"full_name": "Ada"}}')).value is None

    @pytest.mark.parametrize(
        "before", ["so it is </think>", "```json\n", "<think>hm {</think>\n", "\n ", "<think>a</think>```\n"]
    )
    def test_a_value_after_a_fence_or_a_thought_is_the_answer(self, before: str):
        """It is judged as at the very beginning."""
        watcher = fed(PERSON, chunks(before + '{"age": 200, "full_name": ', 3))
        assert str(watcher.violation) == "/age: must be at most 150; got 200 [maximum]"


# What can no longer be mended, and the text at whose end it is known.
REFUSED = [
    ('{"age": 200, "', "/age", "maximum", "must be at most 150; got 200"),
    ('{"age": 1.5}', "/age", "type", "must be an integer; got 1.5"),
    ('{"age": "unknown to me", "', "/age", "type", "must be an integer; got 'unknown to me'"),
    ('{"age": null, "', "/age", "type", "must be an integer; got null"),
    ('{"age": true}', "/age", "type", "must be an integer; got true"),
    ('{"age": ' + '"' + "so " * 110 + "and", "/age", "type", None),
    ('{"age": [1, 2', "/age", "type", "must be an integer; got a list with 2 items"),
    ('{"age": {"years": 1, "months":', "/age", "type", "must be an integer; got an object with 1 property"),
    ('{"team": "ENGINEERING"}', "/team", "enum", "must be one of 'BILLING', 'SALES'; got 'ENGINEERING'"),
    ('{"active": "perhaps not", "', "/active", "type", "must be true or false; got 'perhaps not'"),
    ('{"active": 7}', "/active", "type", "must be true or false; got 7"),
    ('{"full_name": "Ada, the Countess of ', "/full_name", "maxLength", None),
    ('{"nick": "Enchantress of Numbers!!!', "/nick", "maxLength", None),
    ('{"code": "ab1", "', "/code", "pattern", "must match the pattern '^[A-Z]{2}[0-9]+$'; got 'ab1'"),
    ('{"address": {"city": "Rome", "zip": 1.5}', "/address/zip", "type", "must be an integer; got 1.5"),
    ('{"address": {"zip": 1}', "/address", "required", "required property 'city' is missing"),
    ('{"address": {"city": "R", "planet":', "/address/planet", "additionalProperties", "unexpected property 'planet'"),
    ('{"age": 1, "full_nane":', "/full_nane", "additionalProperties",
     "unexpected property 'full_nane' (did you mean 'full_name'?)"),
    ('{"planet": "Earth", "age":', "/planet", "additionalProperties", "unexpected property 'planet'"),
    ('{"tags": ["a", "b", "', "/tags", "maxItems", "must have at most 2 items; got a list with 3 items"),
    ('{"address": "somewhere over there", "', "/address", "type", "must be an object; got 'somewhere over there'"),
    ('{"age": 1, "age": 2}', "/age", "duplicate_key", "the same key stands twice with different values"),
    ('{"choice": [1], "choice": [true]}', "/choice", "duplicate_key", None),
    ('{"score": NaN}', "/score", "non_finite", "a number that is not finite"),
    ('{"score": 1e999, "', "/score", "non_finite", "a number that is not finite"),
    ('{"score": ' + "1" * 4301 + "}", "/score", "integer_too_long", None),
    (r'{"tags": ["\ud83d"', "/tags/0", "lone_surrogate", "a string with half a surrogate pair"),
    ('{"choice": ' + "[" * 128, "/choice" + "/0" * 127, "too_deep", "brackets nest too deep"),
]  # fmt: skip

# What the final reading may yet mend, or another schema or word may yet explain.
OPEN = [
    '{"address": {"zip": 1, "CITY": "Rome"}', '{"age": 36, "Full Name":', '{"address": "city: Rome, zip: 1", ',
    '{"address": "{\\"city\\": \\"Rome\\"}", ',
    '{"age": "36", ', '{"age": "36 years", ', '{"age": 36.0, ', '{"score": "$1,250.40", ', '{"age": [36], ',
    '{"age": {"value": 36', '{"team": "billing.", ', '{"team": "Outbound", ', '{"team": "not BILLING", ',
    '{"active": "Yes", ', '{"active": 1, ', '{"full_name": 12, ', '{"code": null, ', '{"code": 12, ',
    '{"nick": null, ', '{"nick": "none", ', '{"choice": "x", ', '{"choice": {"a": 1, "b"',
    '{"address": "{\\"city\\": \\"Rome\\"}"', '{"address": [{"city": "Rome"}', '{"address": {"CITY": "Rome"}',
    '{"tags": "a", ', '{"Full Name": "Ada", "AGE": 36}', '{"person": {"age": 200',
    '{"result": {"age": "unknown to me", ', '{"name": "extract", "arguments": {"age": 200, "', '[{"age": 200}',
    '[1, 2, 3', '"unknown"', '{', '{}', '{"age": 1, "age": 1.0, ', '{"full_name": "Ada, the Countess ", ',
    '{"score": 1,250', '{"address": {"name": "x", "arguments": {"city"',
]  # fmt: skip


class TestViolation:
    @pytest.mark.parametrize(("text", "path", "rule", "message"), REFUSED, ids=[each[0][:40] for each in REFUSED])
    def test_what_no_continuation_can_mend_is_known_at_once(self, text: str, path: str, rule: str, message: str | None):
        """It is known with the last character, not before, and says where and what."""
        watcher = fed(PERSON, text[:-1])
        assert watcher.violation is None or rule in ("type", "maxLength")
        watcher = fed(PERSON, text)
        found = watcher.violation
        assert found is not None
        assert (found.path, found.rule, message or found.message) == (path, rule, found.message)

    @pytest.mark.parametrize("text", OPEN)
    def test_what_may_yet_be_mended_is_no_violation(self, text: str):
        """The final reading takes numbers and truth from words, unwraps, renames and corrects members."""
        text += '"' if text.endswith(", ") else ""  # now what stands before it is sure to have ended
        assert fed(PERSON, text).violation is None

    @pytest.mark.parametrize(("text", "_path", "_rule", "_message"), REFUSED, ids=[each[0][:40] for each in REFUSED])
    def test_the_final_reading_refuses_it_too(self, text: str, _path: str, _rule: str, _message: str):
        """However the reply is closed."""
        schema = compile_schema(PERSON)
        rest = closers(text)
        for tail in (rest, '"' + rest, '": 1' + rest, '"' + rest[1:], ' "full_name": "Ada", "age": 36' + rest, ""):
            assert read(ModelReply(text + tail), schema).failure is not None

    def test_after_a_violation_nothing_is_read(self):
        """`characters_read` stays, for the tokens that were saved."""
        watcher = JsonStreamValidator(PERSON)
        watcher.feed('{"age": 200, "full')
        assert [watcher.feed('_name": "Ada"}'), watcher.value, watcher.characters_read] == [False, {"age": 200}, 18]

    @pytest.mark.slow
    def test_the_violation_does_not_depend_on_the_deltas(self):
        """Whatever the deltas, the same is refused."""
        for text, path, rule, _ in REFUSED:
            found = {
                (each.path, each.rule)
                for size in (1, 2, 3, 7, 10_000)
                if (each := fed(PERSON, chunks(text, size)).violation)
            }
            assert found == {(path, rule)}

    def test_a_number_is_judged_when_it_is_sure_to_have_ended(self):
        """`1,250` without quotes is one number for the final reading, and 1 is too small."""
        schema = {"type": "object", "properties": {"count": {"type": "integer", "minimum": 100}}}
        assert read(ModelReply('{"count": 1,250}'), compile_schema(schema)).value == {"count": 1250}
        assert fed(schema, '{"count": 1,250}').violation is None
        assert fed(schema, '{"count": 1, "').violation is not None

    def test_a_report_before_the_answer_is_no_violation(self):
        """An object without any name of the schema may stand before the value that is meant."""
        reply = '{"status": "ok", "took_ms": 12}\n{"full_name": "Ada", "age": 36}'
        assert read(ModelReply(reply), compile_schema(PERSON)).value == {"full_name": "Ada", "age": 36}
        assert fed(PERSON, reply).violation is None

    def test_a_choice_of_branches_is_not_judged(self):
        """Nor anything below one."""
        schema = {"oneOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"type": "array"}]}
        assert fed(schema, '{"a": "x", "b": 1, "a2": 3}').violation is None

    def test_recursive_schemas_are_judged_at_every_level(self):
        """A tree of any depth has one schema."""
        node = {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#"}}},
        }
        watcher = fed(node, '{"n": 1, "kids": [{"n": 2, "kids": [{"n": 2.5}')
        assert str(watcher.violation) == "/kids/0/kids/0/n: must be an integer; got 2.5 [type]"

    def test_items_by_position_have_schemas_of_their_own(self):
        """`prefixItems`, then `items`."""
        schema = {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer", "maximum": 9}}
        assert fed(schema, '["a", 5, 12]').violation is not None
        assert fed(schema, '["12", 5, 9]').violation is None

    def test_a_pointer_escapes_and_cuts_names(self):
        """RFC 6901, and no name of a megabyte in a message."""
        schema = {"type": "object", "properties": {"a/b": {"type": "integer"}}, "additionalProperties": False}
        assert fed(schema, '{"a/b": 1.5}').violation.path == "/a~1b"
        assert len(fed(schema, '{"a/b": 1, "' + "x" * 10_000 + '":').violation.path) == 202

    def test_the_depth_can_be_set(self):
        """The limit is on levels of brackets."""
        assert fed({}, "[[[", max_depth=3).violation is None
        assert fed({}, "[[[[", max_depth=3).violation.rule == "too_deep"

    def test_locations_can_be_shared(self):
        """Two requests with one schema prepare it once, and do not disturb each other."""
        locations = StreamLocations(PERSON)
        one, other = JsonStreamValidator(PERSON, locations=locations), JsonStreamValidator(PERSON, locations=locations)
        one.feed('{"age": 20')
        other.feed('{"age": 36, ')
        one.feed("0}")
        assert (one.violation is None, other.violation, other.value) == (False, None, {"age": 36})


class TestByTheLetter:
    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ('{"age": "', "/age"),
            ('{"age": 36, "address": [', "/address"),
            ("[1", ""),
            ('{"full_name": 1', "/full_name"),
            ('{"Age":', "/Age"),
            ('{"team": "sales"', "/team"),
            ('{"code": n', "/code"),
            ('{"age": 200,', "/age"),
            ("{}", ""),
        ],
    )
    def test_a_reply_that_is_read_without_mending_is_refused_at_its_first_wrong_character(self, text: str, path: str):
        """`strict_only` is for replies whose form the provider enforces, and for guards that forbid repairs."""
        assert fed(PERSON, text[:-1], strict_only=True).violation is None
        found = fed(PERSON, text, strict_only=True).violation
        assert found is not None
        assert found.path == path

    @given(st.integers(0, 150), st.sampled_from(["BILLING", "SALES"]), st.text(LETTERS, max_size=20))
    def test_what_fits_is_not_refused(self, age: int, team: str, name: str):
        """Valid values pass, and are shown whole."""
        value = {"full_name": name, "age": age, "team": team, "nick": None, "choice": [1], "address": {"city": "Rome"}}
        watcher = fed(PERSON, json.dumps(value), strict_only=True)
        assert (watcher.value, watcher.violation) == (value, None)


# --- a violation is one for the final reading too, however the text goes on


def everywhere(schema: Json) -> Json:
    """A schema of any value, with `schema` for every part of it."""
    return {**schema, "additionalProperties": {"$ref": "#"}, "items": {"$ref": "#"}}


def closers(text: str) -> str:
    """The closing brackets that `text` lacks; brackets in strings are not looked for."""
    open_: list[str] = []
    for sign in text:
        if sign in "{[":
            open_.append("}" if sign == "{" else "]")
        elif sign in "}]" and open_:
            open_.pop()
    return "".join(reversed(open_))


WORDS = [
    "BILLING",
    "sales.",
    "not BILLING",
    "hello",
    "AB12",
    "yes",
    "no way",
    "12",
    "$3.20",
    "1,250",
    "N/A",
    "",
    "2024-03-05",
    "{}",
]
oddities = st.sampled_from([*WORDS, None, True, 0, 7, -3, 2.5, 2.0, 250, [], [1, 2], {"result": 1}, {"a": 1, "b": 2}])


@st.composite
def people(draw: st.DrawFn) -> Json:
    """What a model may write for PERSON: some of it right, some to be mended, some wrong."""
    right = {"full_name": "Ada", "age": 36, "team": "SALES", "active": True, "code": "AB12", "score": 1.5, "nick": None,
             "address": {"city": "Rome", "zip": 1}, "tags": ["a"], "choice": 1}  # fmt: skip
    names = draw(st.lists(st.sampled_from(sorted(right)), unique=True))
    made: dict[str, Json] = {"full_name": "Ada", "age": 36, **{name: right[name] for name in names}}
    for name in draw(st.lists(st.sampled_from([*right, "extra", "Full Name", "value", "type", "AGE"]), max_size=2)):
        made[name] = draw(oddities)
    wrap: Callable[[Json], Json] = draw(
        st.sampled_from(
            [lambda one: one] * 4
            + [
                lambda one: {"person": one},
                lambda one: [one],
                lambda one: {"name": "f", "arguments": one},
                lambda one: [one, one],
            ]
        )
    )
    return wrap(made)


endings = st.lists(
    st.sampled_from(
        ['"', "}", "]", ",", ": 1", "1", '"x"', "null", '"a": 1', "\n```", " ", "'", '"age": 36', "0", ",500"]
    ),
    max_size=6,
).map("".join)


@given(people(), layouts, st.data())
def test_no_continuation_of_a_refused_reply_is_accepted(value: Json, layout: Json, data: st.DataObject):
    """Neither its own rest, nor its closers, nor anything else after it. A fragment that the reading takes out of the
    midst of a text that is broken as a whole is no continuation, but another value."""
    text = json.dumps(value, **layout)
    watcher, at = JsonStreamValidator(PERSON), 0
    while at < len(text) and watcher.violation is None:
        watcher.feed(text[at])
        at += 1
    if watcher.violation is None:
        return
    schema = compile_schema(PERSON)
    for tail in (text[at:], closers(text[:at]), data.draw(endings), data.draw(endings) + closers(text[:at])):
        reading = read(ModelReply(text[:at] + tail), schema)
        assert reading.failure is not None or any(repair.rule == "prose" for repair in reading.repairs)


@given(people(), layouts)
def test_a_reply_that_is_accepted_was_not_refused(value: Json, layout: Json):
    """What reading accepts, with whatever repairs, raises no violation on its way."""
    text = json.dumps(value, **layout)
    if read(ModelReply(text), compile_schema(PERSON)).failure is None:
        assert fed(PERSON, text).violation is None


# --- cost


def cpu_s(schema: Json, deltas: list[str]) -> float:
    best = math.inf
    for _ in range(3):
        began = time.process_time()
        fed(schema, deltas)
        best = min(best, time.process_time() - began)
    return best


def invoice(size: int) -> str:
    draw = random.Random(7)
    lines = [
        {
            "description": "lorem ipsum dolor sit amet " * draw.randint(1, 3),
            "quantity": draw.randint(0, 99),
            "price": draw.random(),
        }
        for _ in range(size // 110)
    ]
    return json.dumps({"number": "A-1", "lines": lines, "body": "so it goes " * (size // 40)})


HOSTILE = {
    "brackets": "[",
    "objects": '{"a":',
    "quotes": '"',
    "backslashes": '"\\\\',
    "escapes": '["' + "\\u0061",
    "digits": "[1",
    "white space": "[ ",
    "keys": '{"a":1,',
    "prose": "so it goes ",
    "tags": "<think ",
    "thoughts": "<think></think>",
    "prose brackets": "x { ",
    "surrogates": '["\\ud83d\\ude00',
    "words": "[t",
}


@pytest.mark.slow
@pytest.mark.untraced
class TestCost:
    @pytest.mark.parametrize("size", [1, 4, 1_000_000])
    @pytest.mark.parametrize("schema", [{}, ESSAY], ids=["plain", "streamed"])
    def test_cost_is_linear_in_the_text(self, schema: Json, size: int):
        """Five times the text costs at most about five times the CPU, in any deltas: nothing is read twice."""
        small, large = (cpu_s(schema, chunks(invoice(length), size)) for length in (40_000, 200_000))
        assert large / small < 8

    @pytest.mark.parametrize("repeated", HOSTILE.values(), ids=HOSTILE.keys())
    def test_hostile_text_is_linear(self, repeated: str):
        """A repeated beginning, as a whole and in small deltas, for every kind of text that could be read twice."""
        first = repeated[0] if repeated[0] in "[{" and len(repeated) < 6 else ""
        text = first + repeated.removeprefix(first) * (160_000 // len(repeated))
        text = repeated * (160_000 // len(repeated)) if repeated in ("[", '{"a":') else text
        for size in (5, len(text)):
            half, whole = (cpu_s(ESSAY, chunks(text[:length], size)) for length in (40_000, 160_000))
            assert whole < 0.002 or whole / half < 8
            assert whole < 1.0

    def test_a_streamed_text_is_not_copied_as_it_grows(self):
        """Nobody holds it here but the value, so each delta is appended in place."""
        small, large = (cpu_s(ESSAY, chunks('{"body": "' + "so it goes " * length, 4)) for length in (5_000, 40_000))
        assert large / small < 14

    def test_a_text_that_may_be_too_long_is_not_looked_at_again_and_again(self):
        """Blanks where a number is due decide nothing, however many."""
        schema = {"type": "array", "items": {"type": "number"}}
        small, large = (cpu_s(schema, chunks('["' + " " * length, 4)) for length in (50_000, 400_000))
        assert large / small < 14

    def test_a_megabyte_of_brackets_is_refused_at_once(self):
        """The depth is counted, and no recursion meets it."""
        watcher = JsonStreamValidator({})
        watcher.feed("[" * 1_000_000)
        assert watcher.violation is not None
        assert watcher.violation.rule == "too_deep"
