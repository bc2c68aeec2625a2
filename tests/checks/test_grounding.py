"""Grounding checks: what a model says stands in what it was given."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.checks.grounding import (
    Source,
    Span,
    dates_occur,
    find_quote,
    names_occur,
    numbers_in,
    numbers_occur,
    quote_spans,
    quoted,
    sums,
    within,
)
from llmguard.core.errors import UsageError
from llmguard.engine.check import Check, as_violations

LETTER = """Dear Ms. Müller,

we confirm your order of 3 March 2024: “12 chairs  at 1.250,00 EUR each” – less 10 %.
Signed, LOVELACE, Ada (born 10.12.1815)"""


def wrong(check: Check, value: Any, **inputs: Any) -> list[str]:
    return [violation.path for violation in as_violations(check, check(value, inputs))]


@pytest.mark.parametrize(
    "quote",
    ['"12 chairs at', "order of 3 March 2024", "each” - less", "Mu\u0308ller", "Müller,\nwe confirm", "  Signed,  "],
)
def test_a_quote_is_found_whatever_its_white_space_and_marks(quote: str) -> None:
    """And its place in the source is told, so that a page can mark it."""
    span = find_quote(quote, LETTER)
    assert span is not None
    assert Source(LETTER[span.start : span.stop]).find(quote) == Span(0, span.stop - span.start)


def test_the_place_of_a_quote_is_exact() -> None:
    """Counted in characters of the source as given."""
    assert find_quote("Ada (born", LETTER) == Span(LETTER.index("Ada"), LETTER.index("born") + 4)
    assert find_quote("1.250,00 EUR each”", LETTER) == Span(LETTER.index("1.250"), LETTER.index("”") + 1)


@given(st.text(max_size=40), st.data())
def test_every_part_of_a_text_is_found_in_it(text: str, data: st.DataObject) -> None:
    """Words that stand there are found, at a place that says the same."""
    words = text.split()
    if words:
        first = data.draw(st.integers(0, len(words) - 1))
        quote = " ".join(words[first : data.draw(st.integers(first + 1, len(words)))])
        span = find_quote(quote, text)
        assert span is not None
        assert find_quote(quote, text[span.start : span.stop]) is not None


@pytest.mark.parametrize("quote", ["12 tables", "", " ", "order of 3 March 2023", "MÜLLER"])
def test_a_quote_that_does_not_stand_there_is_none(quote: str) -> None:
    """Case counts: a quote is word for word."""
    assert find_quote(quote, LETTER) is None


def test_quotes_as_a_check() -> None:
    """One line on a guard; each made-up quote is a violation at its place."""
    value = {"claims": [{"quote": "12 chairs at"}, {"quote": "13 chairs"}, {"quote": None}], "note": "13 chairs"}
    assert wrong(quoted("/claims/*/quote"), value, letter=LETTER) == ["/claims/1/quote"]
    assert wrong(quoted("/claims/*/quote", source="letter"), value, letter=LETTER, other="13 chairs") == [
        "/claims/1/quote"
    ]
    assert wrong(quoted("/claims/*/quote"), value, letter=LETTER, other=["13 chairs"]) == []
    assert list(quote_spans(value, {"letter": LETTER}, "/claims/*/quote")) == ["/claims/0/quote"]


@pytest.mark.parametrize(
    ("said", "occurs"),
    [
        (1250, True),
        (1250.0, True),
        (12, True),
        (0.1, True),
        (10, True),
        (1250.5, False),
        (13, False),
        (-12, False),
        ("12 chairs", True),
        ("1250.00", True),
        ("13 chairs", False),
        ("none", True),
        (True, True),
        (None, True),
    ],
)
def test_numbers_occur_by_value(said: Any, occurs: bool) -> None:
    """However the source writes them; a negative number needs its sign there."""
    assert (wrong(numbers_occur("/n"), {"n": said}, letter=LETTER) == []) == occurs


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", 1234),
        ("1,234", 1.234),
        ("1 234,5 kg", 1234.5),
        ("1'234'567", 1234567),
        ("(5)", -5),
        ("-5", 5),
        ("−5", -5),
        ("12.5%", 0.125),
        ("3-5", 5),
        ("2024-03-01", 2024),
        ("v1.2.3", 2),
        ("0,5", 0.5),
        ("1,23,4", 23),
    ],
)
def test_what_digits_may_mean(text: str, number: float) -> None:
    """Where a numeral has two readings, both occur."""
    assert number in {float(found) for found in numbers_in(text)}


def test_numbers_among_the_inputs_count() -> None:
    """Inputs need not be text."""
    assert wrong(numbers_occur("/n"), {"n": 7.5}, order={"lines": [{"price": 7.5}]}) == []


@pytest.mark.parametrize(
    ("said", "occurs"),
    [
        ("2024-03-03", True),
        ("March 3rd, 2024", True),
        ("1815-12-10", True),
        ("1815-10-12", True),
        ("2024-03-04", False),
        ("soon", False),
        ("", False),
        (None, True),
    ],
)
def test_dates_occur_however_they_are_written(said: Any, occurs: bool) -> None:
    """10.12.1815 may be read both ways; a text that is no date is not one that occurs."""
    assert (wrong(dates_occur("/d"), {"d": said}, letter=LETTER) == []) == occurs


@pytest.mark.parametrize(
    ("said", "occurs"),
    [
        ("Ada Lovelace", True),
        ("lovelace", True),
        ("MÜLLER", True),
        ("Ms. Müller", True),
        ("Ada Byron", False),
        ("Love", False),
        ("Müller Lovelace", False),
        ("", False),
    ],
)
def test_names_occur_as_whole_words(said: str, occurs: bool) -> None:
    """Next to each other, in either order."""
    assert (wrong(names_occur("/by"), {"by": said}, letter=LETTER) == []) == occurs


def test_sums_add_up() -> None:
    """In decimal digits, within half a cent; what is not there is not summed."""
    check = sums("/lines/*/amount", "/total")
    assert wrong(check, {"lines": [{"amount": 0.1}, {"amount": 0.2}, {"note": 1}], "total": 0.3}) == []
    assert wrong(check, {"lines": [{"amount": 0.1}, {"amount": 0.2}], "total": 0.31}) == ["/total"]
    assert wrong(check, {"lines": [], "total": 0}) == []
    assert wrong(sums("/a", "/b", abs_tol=1), {"a": 3, "b": 4}) == []
    assert wrong(check, {"total": None}) == []


def test_values_lie_within() -> None:
    """Both ends are allowed; a list is looked at element by element."""
    check = within("/ages/*", 0, 150)
    assert wrong(check, {"ages": [0, 150, -1, 151, None, "x", True]}) == ["/ages/2", "/ages/3"]
    assert wrong(within("", high=1), 2) == [""]


def test_options_are_part_of_a_checks_version() -> None:
    """Another limit is another guard, though the source of the function is the same."""
    assert within("/a", 0, 1).version != within("/a", 0, 2).version
    assert within("/a", 0, 1).version == within("/a", 0, 1).version
    assert within("/a", 0, 1).name == "within /a"
    assert quoted("/a", severity="flag").severity == "flag"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: within("/a"), "neither low nor high"),
        (lambda: within("/a", 2, 1), "no number is valid"),
        (lambda: quoted(), "expected at least one JSON Pointer"),
        (lambda: sums("lines", "/total"), "got 'lines'"),
        (lambda: quoted("/a", source="letter")({"a": "x"}, {"mail": "x"}), "the inputs are mail"),
    ],
)
def test_mistakes_are_told(make: Any, said: str) -> None:
    """Places that are none, limits that exclude everything."""
    with pytest.raises(UsageError) as caught:
        make()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "hostile", ["1,1" * 50_000, "111 " * 50_000, "a\u0301\u0316" * 50_000, "é" * 100_000, "“" * 99_999]
)
def test_hostile_texts_cost_time_in_proportion(hostile: str) -> None:
    """Neither the source nor the value can make a check slow; deep inputs do not end the stack."""
    deep: Any = hostile
    for _ in range(5000):
        deep = [deep]
    for check in (quoted("/a"), numbers_occur("/a"), dates_occur("/a"), names_occur("/a")):
        as_violations(check, check({"a": hostile}, {"text": deep}))


def test_the_package_exports_its_checks_and_loads_none() -> None:
    """Each name loads on first use; one that is unknown is an attribute error."""
    program = (
        "import sys, llmguard.checks as checks; print([n for n in sys.modules if n.startswith('llmguard.')]);"
        "from llmguard.checks import judge, numbers_occur; print(callable(judge), callable(numbers_occur));"
        "print(all(getattr(checks, n) for n in checks.__all__), hasattr(checks, 'jugde'))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "['llmguard.checks']\nTrue True\nTrue False\n"
