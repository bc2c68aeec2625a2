"""What a request costs: the list's prices, its tiers, and None where it has none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from genai_prices.data_snapshot import get_snapshot

from llmguard.core.messages import NO_USAGE, Usage
from llmguard.core.prices import Price, Rate, cost_usd, price_of

MILLION = Usage(input_tokens=1_000_000, output_tokens=1_000_000)


@pytest.mark.parametrize(
    "model", ["gpt-5-mini", "gpt-4o", "gpt-5-mini-2025-08-07", "gemini-2.5-pro", "claude-sonnet-4-5"]
)
@pytest.mark.parametrize(("input_tokens", "output_tokens"), [(0, 0), (1000, 100), (200_000, 1), (200_001, 500)])
def test_the_price_is_the_lists(model: str, input_tokens: int, output_tokens: int) -> None:
    """The same as genai-prices computes at length, below, at and above the edge of a tier."""
    import genai_prices

    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    listed = genai_prices.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    assert cost_usd(model, usage) == pytest.approx(float(genai_prices.calc_price(listed, model).total_price), abs=1e-12)


def test_an_unknown_model_has_no_price() -> None:
    """None, and not zero: a local model, a provider that is not listed, a server of one's own."""
    assert [
        cost_usd("smollm2-135m", MILLION),
        cost_usd("", MILLION),
        cost_usd("gpt-5-mini", MILLION, "nobody"),
        cost_usd("gpt-5-mini", MILLION, "http://127.0.0.1:8080/v1"),
        cost_usd("whisper-1", MILLION, "openai"),
    ] == [None] * 5


def test_a_provider_is_named_by_its_id_or_by_its_url() -> None:
    """Both find the same price."""
    by_id = cost_usd("gpt-5-mini", MILLION, "openai")
    assert by_id == cost_usd("gpt-5-mini", MILLION, "https://api.openai.com/v1")
    assert by_id is not None
    assert by_id > 0


def test_a_free_model_costs_nothing() -> None:
    """Zero, where the provider calls it free; and nothing used costs nothing."""
    assert cost_usd(listed("openrouter", lambda name: name.endswith(":free")), MILLION, "openrouter") == 0.0
    assert cost_usd("gpt-5-mini", NO_USAGE) == 0.0


def test_a_model_that_charges_by_something_else_has_no_price() -> None:
    """Speech and pages are not counted in tokens."""
    assert cost_usd(listed("mistral", lambda name: "ocr" in name), MILLION, "mistral") is None


def listed(provider: str, wanted: Callable[[str], bool]) -> str:
    """A model of the list, which changes with its versions."""
    models = next(each.models for each in get_snapshot().providers if each.id == provider)
    return next(model.id for model in models if wanted(model.id))


def test_a_tier_holds_for_all_tokens_once_the_input_is_longer() -> None:
    """As providers charge: the whole request, output too, at the price of the tier."""
    rate = Rate((1.0, 2.0, 3.0), (100, 200))
    assert [rate.at(tokens) for tokens in (0, 100, 101, 200, 201)] == [1.0, 1.0, 2.0, 2.0, 3.0]


def test_a_price_is_looked_up_once() -> None:
    """The second call finds it."""
    price_of("gpt-4o")
    before = price_of.cache_info().hits
    found = price_of("gpt-4o")
    assert isinstance(found, Price)
    assert price_of.cache_info().hits == before + 1
