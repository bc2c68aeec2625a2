"""What a request costs in US dollars, by the price list that the package `genai-prices` carries; nothing is fetched.

All input tokens are priced as fresh ones, since `Usage` does not count cached ones separately: where a provider gives a
discount on those, the true cost is lower. A price is looked up once per model and process.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from llmguard.core.messages import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, TieredPrices

MAX_MODELS = 256
"""Models whose prices are kept: the name may come from a reply, so the number is bounded."""


class Rate(NamedTuple):
    """Dollars per token: `prices[0]`, and `prices[i + 1]` for all tokens where the input is longer than `starts[i]`."""

    prices: tuple[float, ...]
    starts: tuple[int, ...] = ()

    def at(self, input_tokens: int) -> float:
        return self.prices[sum(input_tokens > start for start in self.starts)]


class Price(NamedTuple):
    """What a model charges."""

    input: Rate
    output: Rate
    request_usd: float = 0.0


FREE = Price(Rate((0.0,)), Rate((0.0,)))
"""What OpenRouter and Azure name `…:free`; the list has no numbers for it."""


def cost_usd(model: str, usage: Usage, provider: str | None = None) -> float | None:
    """US dollars of one request, or None where the price of `model` is not known.

    `provider` is a provider's id ("openai", "azure", "openrouter") or the base URL of its API; without it, the provider
    that makes the model is taken.

    >>> cost_usd("gpt-5-mini", Usage(input_tokens=1_000_000, output_tokens=1_000_000))
    2.25
    >>> cost_usd("smollm2", Usage(input_tokens=1_000_000)) is None
    True
    """
    price = price_of(model, provider)
    if price is None:
        return None
    spent = usage.input_tokens * price.input.at(usage.input_tokens)
    spent += usage.output_tokens * price.output.at(usage.input_tokens)
    return round(spent + price.request_usd, 12)


@lru_cache(MAX_MODELS)
def price_of(model: str, provider: str | None = None) -> Price | None:
    """The price of `model`, looked up once."""
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    try:
        if provider is not None and "://" in provider:
            calculation = calc_price(PricedUsage(), model, provider_api_url=provider)
        else:
            calculation = calc_price(PricedUsage(), model, provider_id=provider)
    except LookupError:
        return None
    return FREE if model.endswith(":free") else _price(calculation.model_price)


def _price(listed: ModelPrice) -> Price | None:
    """By tokens and requests; a model that charges by the hour or page has no price here."""
    if listed.input_mtok is None and listed.output_mtok is None:
        return None
    per_1000_requests = listed.requests_kcount
    return Price(
        _rate(listed.input_mtok),
        _rate(listed.output_mtok),
        float(per_1000_requests) / 1000 if isinstance(per_1000_requests, Decimal) else 0.0,
    )


def _rate(per_million: Decimal | TieredPrices | None) -> Rate:
    if per_million is None:
        return Rate((0.0,))
    if isinstance(per_million, Decimal):
        return Rate((float(per_million) / 1e6,))
    tiers = per_million.tiers
    return Rate(
        tuple(float(price) / 1e6 for price in (per_million.base, *(tier.price for tier in tiers))),
        tuple(tier.start for tier in tiers),
    )
