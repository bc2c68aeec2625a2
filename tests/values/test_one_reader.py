"""One reader: what `values` reads in a text, coercion reads too, votes count as that, and grounding finds in the same text."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.checks import dates_occur, numbers_occur
from llmguard.checks.grounding import numbers_in
from llmguard.core.messages import ModelReply
from llmguard.parsing.coerce import read
from llmguard.schema import compile_schema
from llmguard.values.dates import days_in, read_date
from llmguard.values.numbers import ExpectedNumber, ParsedNumber, field_units, read_number
from llmguard.values.rejection import Rejection
from llmguard.values.words import LIKENESS, read_member, read_truth
from llmguard.voting.normal_forms import amount_in, text_form

NAMES = (
    "price",
    "price_usd",
    "fare_nok",
    "width_m",
    "runtime_min",
    "mass_g",
    "profit_millions",
    "share_percent",
    "temp_c",
)
SIGNS = ("", "", "-", "−", "+", "$", "€", "-£", "₹", "NOK ", "~", ">")
UNITS = ("", "", " m", " min", " g", "kg", " %", "%", " million", "k", " USD", " €", " °C", " NOK", " feet", "-")


@st.composite
def numerals(draw: st.DrawFn) -> str:
    """Digits with the marks of one convention."""
    whole = draw(st.integers(0, 99_999_999))
    grouped = draw(st.sampled_from([f"{whole}", f"{whole:,}", f"{whole:,}".replace(",", "."), f"{whole:,}".replace(",", " "),
                                    f"{whole:,}".replace(",", "'"), f"{whole:_}", "3,50,000", "1.234", "007"]))  # fmt: skip
    return grouped + draw(st.sampled_from(["", "", ".5", ",50", ".25", ",125", "."]))


def reads(name: str, schema: Any, text: str) -> tuple[Any, ...]:
    """What a reply with this text in a field of this name is read as, as a tuple of one; empty where it is refused."""
    whole = compile_schema({"type": "object", "properties": {name: schema}, "required": [name]})
    result = read(ModelReply(json.dumps({name: text}, ensure_ascii=False)), whole)
    return () if result.failure else (result.value[name],)


@given(st.sampled_from(NAMES), st.sampled_from(SIGNS), numerals(), st.sampled_from(UNITS))
def test_numbers_are_read_alike(name: str, sign: str, numeral: str, unit: str) -> None:
    """A field's text, a vote's text and a source's text say one number."""
    text = sign + numeral + unit
    number = read_number(text, ExpectedNumber(False, field_units(name.replace("_", " "), "")))
    assert reads(name, {"type": "number"}, text) == ((number.value,) if isinstance(number, ParsedNumber) else ())
    if isinstance(number, ParsedNumber):
        amount = amount_in(text)
        assert amount is None or amount[0] == Fraction(repr(number.value))
        assert numbers_occur(f"/{name}")({name: number.value}, {"source": f"It says {text} there."}) == []


@given(st.sampled_from(SIGNS), numerals())
def test_what_votes_read_coercion_reads(sign: str, numeral: str) -> None:
    """An amount that is counted as a number is one that a field takes, but for a currency that the field does not name."""
    amount = amount_in(sign + numeral)
    if amount and not amount[1]:
        assert reads("n", {"type": "number"}, sign + numeral) in ((float(amount[0]),), (int(amount[0]),))


LAYOUTS = (
    "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%Y", "%Y/%m/%d", "%A, %d %B %Y", "sunset %B %d, %Y",
    "%Y%m%d", "%d. %B %Y",
)  # fmt: skip


@given(st.dates(), st.sampled_from(LAYOUTS))
def test_dates_are_read_alike(day: Any, layout: str) -> None:
    """A date that is read from a reply is the vote's day, and is found in a source that spells it so."""
    if day.year < 1000:
        return
    text = day.strftime(layout)
    iso = read_date(text)
    assert reads("d", {"type": "string", "format": "date"}, text) == (() if isinstance(iso, Rejection) else (iso,))
    if isinstance(iso, str):
        assert iso == day.isoformat()
        assert text.isdecimal() or text_form(text) == text_form(iso)
        assert dates_occur("/d")({"d": iso}, {"source": f"Due on {text}."}) == []


@pytest.mark.parametrize("text", ["Yes", "no.", "TRUE", "not true", "y", "no?", '"yes"'])
def test_truth_words_are_read_alike(text: str) -> None:
    """Yes and no by exact words only."""
    truth = read_truth(text)
    assert reads("b", {"type": "boolean"}, text) == (() if isinstance(truth, Rejection) else (truth,))


@pytest.mark.parametrize(
    "text", ["On hold", "ON-HOLD", "onhold", "B-", "b", "2.5 mg", "25 MG", "3 mW", "n/a", "Zurich", "C#"]
)
def test_members_are_read_alike(text: str) -> None:
    """A member by its likeness."""
    members = ["ON_HOLD", "B", "25 mg", "3 MW", "NA", "Zürich", "C"]
    member = read_member(text, members, {})
    assert reads("m", {"enum": members}, text) == (() if isinstance(member, Rejection) else (member,))


@pytest.mark.parametrize(
    ("text", "within", "without"),
    [
        ("The profit was 1.7 million euros.", [1_700_000], [1.7]),
        ("Flat for ₹3,50,000.", [350_000], [3, 50]),
        ("5k runners, 2 dozen eggs", [5000, 24], [5, 2]),
        ("5 m of rope", [5], []),
        ("about 1e3", [1000], []),
    ],
)
def test_a_source_says_its_scales(text: str, within: list[float], without: list[float]) -> None:
    """A number with a scale word is that number; a letter that may be a unit leaves both."""
    numbers = numbers_in(text)
    assert [number for number in within if Fraction(repr(number)) not in numbers] == []
    assert [number for number in without if Fraction(repr(number)) in numbers] == []


def test_a_fields_own_name_may_say_its_scale() -> None:
    """`profit_millions: 1.7` is in "1.7 million"; `profit: 1.7` is not."""
    source = {"document": "The profit was 1.7 million euros."}
    assert numbers_occur("/profit_millions")({"profit_millions": 1.7}, source) == []
    assert len(numbers_occur("/profit")({"profit": 1.7}, source)) == 1


@given(st.text(max_size=60))
def test_no_text_breaks_a_reader(text: str) -> None:
    """Each gives a value or a reason, whatever the text."""
    assert isinstance(read_number(text, ExpectedNumber(False)), ParsedNumber | Rejection)
    assert isinstance(read_date(text), str | Rejection)
    assert isinstance(days_in(text), frozenset)
    assert amount_in(text) is None or isinstance(amount_in(text), tuple)
    read_member(text, ["A", "b-c", "é"], {})


SPELLINGS = st.text("aB_ -1é\u0301.MmW3", max_size=7)


@given(SPELLINGS, SPELLINGS)
def test_likeness_only_widens(one: str, other: str) -> None:
    """What is alike by one level is alike by the last, so that the last one alone tells that nothing matches."""
    alike = [level(one) == level(other) for level in LIKENESS]
    assert alike[-1] or not any(alike)
