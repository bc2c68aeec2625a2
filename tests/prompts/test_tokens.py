"""Counting without a vocabulary, and cutting to fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.core.messages import Message
from llmguard.prompts.tokens import CUT, LOW_DETAIL_IMAGE_TOKENS, count_messages, estimate, trim

# Tokens by tiktoken's o200k_base.
KNOWN = {
    "The quick brown fox jumps over the lazy dog, and then it sleeps all day long in the warm sun.": 22,
    '{"name":"Ada Lovelace","age":36,"email":"ada@example.com","tags":["math","poetry"]}': 26,
    "def total(lines: list[Line]) -> Decimal:\n    return sum((line.amount * line.count for line in lines), 0)\n": 28,
    "Die Rechnung ist innerhalb von vierzehn Tagen ohne Abzug zu bezahlen.": 15,
    "Счёт должен быть оплачен в течение четырнадцати дней.": 16,
    "今天天气很好，我们去公园散步吧。": 12,
    "東京都は日本の首都です。": 8,
    "한국어 문장도 여기에 있습니다.": 9,
    "यह एक हिन्दी वाक्य है जो यहाँ लिखा है।": 12,
    "1234567 89.10 2024-01-31 17:05:59": 20,
}


@pytest.mark.parametrize("text", KNOWN)
def test_the_estimate_is_within_a_third(text: str) -> None:
    """For text of many kinds and scripts, short as it is."""
    assert 0.66 * KNOWN[text] <= estimate(text) <= 1.34 * KNOWN[text]


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\u202e", "<|endoftext|>", "\U0010ffff", " ", "\n"])
def test_hostile_text_counts_at_least_one(text: str) -> None:
    """Nothing raises, and nothing that is there counts as nothing."""
    assert estimate(text) >= 1


def test_nothing_has_no_tokens() -> None:
    """The empty text is the only one without."""
    assert estimate("") == 0


@given(st.text(), st.text())
def test_the_estimate_grows_with_the_text(first: str, second: str) -> None:
    """More text is never fewer tokens, and parts are never fewer than the whole but for a word's edge and rounding."""
    assert max(estimate(first), estimate(second)) <= estimate(first + second) <= estimate(first) + estimate(second) + 1


def test_messages_count_with_their_frame() -> None:
    """Four tokens a message and three for the reply's frame; an image by its detail, and not by its base64."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000, "detail": "low"}}
    messages = [Message("system", "Be brief."), Message("user", ({"type": "text", "text": "What is it?"}, image))]
    text_tokens = estimate("Be brief.") + estimate("What is it?")
    assert count_messages(messages) == 3 + 4 + 4 + text_tokens + LOW_DETAIL_IMAGE_TOKENS
    assert count_messages([Message("user", "abc")], counter=len) == 10


def test_a_part_of_another_kind_counts_as_its_json() -> None:
    """Too many is safer than none."""
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert count_messages([Message("user", (part,))], counter=len) == 7 + 67


def test_what_fits_is_not_cut() -> None:
    """Exactly the most is not too much."""
    text = "one two three four five six seven eight nine ten"
    assert trim(text, estimate(text)) == text
    assert trim(text, estimate(text) - 1) == "one two three four five six seven…[cut]"


def test_it_is_cut_between_words_and_between_whole_characters() -> None:
    """No half word where there are spaces, no accent or joiner torn off where there are none."""
    assert set(trim("word " * 1000, 20).removesuffix(CUT).split(" ")) == {"word"}
    family = "👩\u200d👩\u200d👧 "
    kept = trim("x" + family.strip() * 100, 30).removesuffix(CUT)
    assert not kept.endswith("\u200d")
    assert trim("e\u0301" * 500, 10, counter=len).removesuffix(CUT) in ("e\u0301e\u0301", "e\u0301")


@pytest.mark.parametrize("max_tokens", [0, 1, 2, -5])
def test_without_room_for_the_mark_nothing_is_left(max_tokens: int) -> None:
    """An empty text, never one over the bound."""
    assert trim("a long text that does not fit " * 10, max_tokens) == ""


@given(st.text(max_size=400), st.integers(0, 60))
def test_a_trimmed_text_never_has_more(text: str, max_tokens: int) -> None:
    """It is the text itself, or a beginning of it with the mark, or nothing."""
    cut = trim(text, max_tokens)
    assert estimate(cut) <= max_tokens
    assert cut == text or cut == "" or (cut.endswith(CUT) and text.startswith(cut.removesuffix(CUT)))


def test_trimming_a_long_text_counts_only_its_beginning() -> None:
    """Of eight million characters a bounded number is looked at."""
    counted: list[int] = []

    def counter(text: str) -> int:
        counted.append(len(text))
        return estimate(text)

    trim("lorem ipsum " * 700_000, 100, counter)
    assert sum(counted) < 20 * 100 * 128
