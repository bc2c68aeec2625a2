"""Which errors are planted into a value, and where: a bounded number, the same for the same seed.

A value is looked at level by level. Of each kind of error a field gets a few, drawn by the seed, before any field gets
more; an item of a list is a field for all items. What equals the right value in its canonical form, as another spelling
of a date or of a name does, is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Final, TypeAlias

from llmguard.core.canonical import Json, digest_bytes, encode
from llmguard.operations.mutation.mutation_operators import Kind, dates, is_date, numbers, typo
from llmguard.operations.mutation.shapes import Parts, Shapes, choices, is_declared, is_set, wants_whole_number
from llmguard.schema import Schema
from llmguard.schema.keywords import as_pointer
from llmguard.voting.normal_forms import value_form

Tokens: TypeAlias = tuple[str, ...]

MAX_MUTANTS: Final = 100
"""Of one value."""
PER_FIELD: Final = 2
"""Of one kind, in one field of one value."""
MAX_ITEMS: Final = 20
"""Of a list that are looked at; the others are like them."""
MAX_MEMBERS: Final = 200
MAX_PLACES: Final = 2_000
MAX_DEPTH: Final = 50
"""Levels that are looked at; the canonical form knows no more of them either."""
_SHOWN: Final = 40
_ANY: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A value with one error in it. `path`: where (JSON Pointer); `fields`: what it spoils, with `*` for an item of a
    list or a name that is data; `what`: the error in a few words, clipped, with the model's own text in it."""

    kind: Kind
    path: str
    value: Json = field(repr=False)
    fields: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class _Place:
    """One place of the value. `field` is its path with `*` where it goes through a list."""

    path: Tokens
    field: Tokens
    value: Json
    parts: Parts


@dataclass(frozen=True, slots=True)
class _Plan:
    """An error that could be planted: what `make` gives, in place of what stands at `at`.

    `pair`: what was right and what stands there instead, to be compared; None where it is another value anyhow.
    """

    kind: Kind
    path: Tokens
    fields: tuple[Tokens, ...]
    at: Tokens
    what: Callable[[], str]
    make: Callable[[], Json]
    pair: tuple[Json, Json] | None = None

    @property
    def is_error(self) -> bool:
        return self.pair is None or value_form(self.pair[0]) != value_form(self.pair[1])


def mutants(value: Json, schema: Schema, seed: int = 0) -> tuple[Mutant, ...]:
    """At most `MAX_MUTANTS` values, each with one error, the same ones for the same seed.

    >>> from llmguard.schema import compile_schema
    >>> schema = compile_schema({"properties": {"category": {"enum": ["billing", "bug"]}, "urgent": {"type": "boolean"}}})
    >>> for mutant in mutants({"category": "bug", "urgent": True}, schema):
    ...     print(mutant.kind, mutant.path, mutant.value)
    dropped /category {'urgent': True}
    dropped /urgent {'category': 'bug'}
    negated /urgent {'category': 'bug', 'urgent': False}
    other member /category {'category': 'billing', 'urgent': True}
    """
    plans = [plan for place in _places(value, Shapes(schema.json_schema)) for plan in _plans(place, seed)]
    chosen = islice((plan for plan in _drawn(plans, seed) if plan.is_error), MAX_MUTANTS)
    found = [_planted(plan, value) for plan in chosen]
    return tuple(sorted(found, key=lambda mutant: (mutant.kind, mutant.path, mutant.what)))


def _planted(plan: _Plan, value: Json) -> Mutant:
    return Mutant(
        kind=plan.kind,
        path=as_pointer(plan.path),
        value=_put(value, plan.at, plan.make()),
        fields=tuple(dict.fromkeys(as_pointer(each) for each in plan.fields)),
        what=plan.what(),
    )


def _drawn(plans: Sequence[_Plan], seed: int) -> list[_Plan]:
    """The first of each kind and field, then the second of each; in an order that the seed draws."""
    ranks: dict[tuple[str, Tokens], int] = {}
    ranked: list[tuple[int, int, _Plan]] = []
    drawn = {number: _number(seed, plan.kind, plan.path, number) for number, plan in enumerate(plans)}
    for number in sorted(drawn, key=drawn.__getitem__):
        plan = plans[number]
        rank = ranks[plan.kind, plan.fields[0]] = ranks.get((plan.kind, plan.fields[0]), -1) + 1
        if rank < PER_FIELD:
            ranked.append((rank, drawn[number], plan))
    return [plan for _, _, plan in sorted(ranked, key=lambda each: each[:2])]


def _number(seed: int, *what: object) -> int:
    """Drawn by the seed; no generator of random numbers, whose state would be shared."""
    return int(digest_bytes(repr((seed, *what)).encode("utf-8", "backslashreplace"))[:15], 16)


# ------------------------------------------------------------------------------------------------- places


def _places(value: Json, shapes: Shapes) -> Iterator[_Place]:
    """The places of a value, level by level."""
    level, seen = [_Place((), (), value, shapes.root())], 0
    while level and seen < MAX_PLACES:
        yield from level
        seen += len(level)
        level = [below for place in level for below in _below(place, shapes)][:MAX_PLACES]


def _below(place: _Place, shapes: Shapes) -> Iterator[_Place]:
    if len(place.path) == MAX_DEPTH:
        return
    if isinstance(place.value, dict):
        for name in islice(place.value, MAX_MEMBERS):
            inner = shapes.member(place.parts, name)
            yield _Place((*place.path, name), _field(place, name), place.value[name], inner)
    elif isinstance(place.value, list):
        for number, item in enumerate(place.value[:MAX_ITEMS]):
            inner = shapes.item(place.parts, number)
            yield _Place((*place.path, str(number)), (*place.field, _ANY), item, inner)


def _field(place: _Place, name: str) -> Tokens:
    return (*place.field, name if is_declared(place.parts, name) else _ANY)


def _put(value: Json, at: Tokens, after: Json) -> Json:
    """A copy of `value` with `after` at a place; the rest is shared."""
    if not at:
        return after
    if isinstance(value, list):
        return [_put(item, at[1:], after) if number == int(at[0]) else item for number, item in enumerate(value)]
    return {name: _put(item, at[1:], after) if name == at[0] else item for name, item in value.items()}


# ------------------------------------------------------------------------------------------------- plans


def _plans(place: _Place, seed: int) -> Iterator[_Plan]:
    if isinstance(place.value, dict):
        yield from _dropped(place)
        yield from _swapped_members(place)
    elif isinstance(place.value, list):
        yield from _truncated(place)
        yield from _swapped_items(place)
    elif others := choices(place.parts, place.value):
        yield from (_said(place, "other member", other) for other in others[:MAX_ITEMS])
    else:
        yield from _scalars(place, seed)


def _scalars(place: _Place, seed: int) -> Iterator[_Plan]:
    value = place.value
    if isinstance(value, bool):
        yield _said(place, "negated", not value)
    elif isinstance(value, int | float):
        for kind, other in numbers(value, wants_whole_number(place.parts)):
            if other not in (float("inf"), float("-inf")):
                yield _said(place, kind, other)
    elif isinstance(value, str) and is_date(value):
        yield from (_said(place, "date shifted", other) for other in dates(value))
    elif isinstance(value, str) and value:
        yield _said(place, "typo", typo(value, _number(seed, place.path)))


def _said(place: _Place, kind: Kind, other: Json) -> _Plan:
    """Another scalar."""
    return _Plan(
        kind,
        place.path,
        (place.field,),
        place.path,
        lambda: f"{_shown(place.value)} → {_shown(other)}",
        lambda: other,
        (place.value, other),
    )


def _dropped(place: _Place) -> Iterator[_Plan]:
    return (_without(place, name) for name in islice(place.value, MAX_MEMBERS))


def _without(place: _Place, name: str) -> _Plan:
    return _Plan(
        "dropped",
        (*place.path, name),
        (_field(place, name),),
        place.path,
        lambda: f"{_shown(place.value[name])} left out",
        lambda: {each: item for each, item in place.value.items() if each != name},
    )


def _swapped_members(place: _Place) -> Iterator[_Plan]:
    """Each member with the next of its type."""
    names: dict[str, list[str]] = {}
    for name in islice(place.value, MAX_MEMBERS):
        names.setdefault(_type(place.value[name]), []).append(name)
    return (_changed_over(place, *pair) for alike in names.values() for pair in pairwise(alike))


def _changed_over(place: _Place, one: str, other: str) -> _Plan:
    value = place.value
    return _Plan(
        "swapped",
        (*place.path, one),
        (_field(place, one), _field(place, other)),
        place.path,
        lambda: f"with {as_pointer((*place.path, other))}",
        lambda: {**value, one: value[other], other: value[one]},
        (value[one], value[other]),
    )


def _truncated(place: _Place) -> Iterator[_Plan]:
    value = place.value
    if value:
        what = f"the last of {len(value)} left out"
        yield _Plan("truncated", place.path, (place.field,), place.path, lambda: what, lambda: value[:-1])


def _swapped_items(place: _Place) -> Iterator[_Plan]:
    """Each item with the next, where their order says something; and each member of an item with that of the next."""
    for number, (one, other) in enumerate(pairwise(place.value[:MAX_ITEMS])):
        if not is_set(place.parts):
            yield _exchanged(place, number, (one, other), (other, one), place.field)
        if isinstance(one, dict) and isinstance(other, dict):
            for name in islice((name for name in one if name in other), MAX_MEMBERS):
                if _type(one[name]) == _type(other[name]):
                    yield _exchanged_members(place, number, one, other, name)


def _exchanged_members(place: _Place, number: int, one: dict[str, Json], other: dict[str, Json], name: str) -> _Plan:
    after = ({**one, name: other[name]}, {**other, name: one[name]})
    return _exchanged(place, number, (one[name], other[name]), after, (*place.field, _ANY, name), (name,))


def _exchanged(
    place: _Place, number: int, pair: tuple[Json, Json], after: tuple[Json, Json], spoilt: Tokens, below: Tokens = ()
) -> _Plan:
    """Two neighbouring items as they are after a swap."""
    value = place.value
    return _Plan(
        "swapped",
        (*place.path, str(number), *below),
        (spoilt,),
        place.path,
        lambda: f"with {as_pointer((*place.path, str(number + 1), *below))}",
        lambda: [*value[:number], *after, *value[number + 2 :]],
        pair,
    )


def _type(value: Json) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def _shown(value: Json) -> str:
    text = encode(value).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
