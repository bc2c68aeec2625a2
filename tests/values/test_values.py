"""Values written as text: read where there is one reading, rejected with the rule where there may be two.

`tests/parsing/test_coerce.py` has the many spellings, as fields of a reply.
"""

from __future__ import annotations

import pytest

from llmguard.values.dates import read_date
from llmguard.values.numbers import ExpectedNumber, read_number
from llmguard.values.rejection import Rejection
from llmguard.values.words import normalized_key, read_member, read_truth

PRICE = ExpectedNumber(integer=False)


def read_or_rule(result: object) -> object:
    """The value, or the rule by which it was rejected."""
    return result.rule if isinstance(result, Rejection) else result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-05", "2024-03-05"),
        ("March 5, 2024", "2024-03-05"),
        ("25.12.2024", "2024-12-25"),
        ("03/04/2024", "ambiguous_date"),
        ("31 February 2024", "not_a_date"),
    ],
)
def test_a_date_is_read_where_day_and_month_are_sure(text: str, expected: str) -> None:
    """Two numbers that may both be a month leave a doubt."""
    assert read_or_rule(read_date(text)) == expected


@pytest.mark.parametrize(("text", "expected"), [("$1,250.40", 1250.4), ("1 250,40", 1250.4), ("12", 12)])
def test_a_number_is_read_with_the_marks_of_either_convention(text: str, expected: float) -> None:
    """Comma and point each group or divide, where only one reading is left."""
    number = read_number(text, PRICE)
    assert not isinstance(number, Rejection)
    assert number.value == expected


@pytest.mark.parametrize("text", ["1,250", "(12.50)", "12.5k", "about 12"])
def test_a_number_with_two_readings_is_rejected(text: str) -> None:
    """A thousand or one and a quarter, a negative or an aside."""
    assert isinstance(read_number(text, PRICE), Rejection)


def test_words_are_compared_without_case_and_punctuation() -> None:
    """Members of a choice, yes and no, and names of properties."""
    assert read_member("Billing.", ["BILLING", "SALES"], {}) == "BILLING"
    assert isinstance(read_member("anything but BILLING", ["BILLING", "SALES"], {}), Rejection)
    assert read_truth("Yes.") is True
    assert isinstance(read_truth("not true"), Rejection)
    assert normalized_key("first name") == normalized_key("firstName") == normalized_key("First-Name")
