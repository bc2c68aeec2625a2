"""Which errors are put into a value, and where: a bounded number, the same for the same seed.

A value is read level by level. Each field gets one error of each kind, drawn by the seed, before any field gets a second
one; all items of a list count as one field. A change that leaves the canonical form of the value as it was, such as
another spelling of a date or of a name, is not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Final, TypeAlias

from llmguard.core.canonical import Json, digest_bytes, encode
from llmguard.operations.mutation.mutation_operators import Kind, dates, is_date, numbers, typo
from llmguard.schema import Schema
from llmguard.schema.applicable import (
    Schemas,
    is_declared,
    is_set,
    item_schemas,
    other_choices,
    property_schemas,
    root_schemas,
    wants_whole_number,
)
from llmguard.schema.keywords import as_pointer
from llmguard.schema.navigate import SchemaDocument
from llmguard.voting.normal_forms import value_form

Tokens: TypeAlias = tuple[str, ...]

MAX_MUTANTS: Final = 100
"""Of one value: each is validated, and checked by every check."""
PER_FIELD: Final = 2
"""Mutants of one kind in one field of one value, so that a long list leaves room for other fields."""
MAX_ITEMS: Final = 20
"""Items of a list that are read; the others are assumed to be like them."""
MAX_MEMBERS: Final = 200
MAX_LOCATIONS: Final = 2_000
"""Members of an object and locations of a value that are read: bounds the time a hostile value takes."""
MAX_DEPTH: Final = 50
"""Levels that are read: as many as the canonical form has (`voting.normal_forms`)."""
_CLIPPED: Final = 40
"""Characters of a value in a mutant's description."""
_ANY: Final = "*"
"""Stands for any index of a list, or any name that is data, in the path of a field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A value with one error in it. `path`: where, as a JSON Pointer; `fields`: which fields are wrong, with `*` for an
    index of a list or a name that is data; `what`: describes the error, clipped, with the model's own text in it."""

    kind: Kind
    path: str
    value: Json = field(repr=False)
    fields: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class _Location:
    """A location in the value. `field` is its path with `*` for the indexes of lists."""

    path: Tokens
    field: Tokens
    value: Json
    schemas: Schemas


@dataclass(frozen=True, slots=True)
class _Plan:
    """An error that could be made: `make` gives the value that replaces the one at `at`.

    `pair`: the value before and after, to be compared; None where they always differ.
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
    plans = [
        plan for location in _locations(value, SchemaDocument(schema.json_schema)) for plan in _plans(location, seed)
    ]
    chosen = islice((plan for plan in _chosen(plans, seed) if plan.is_error), MAX_MUTANTS)
    return tuple(
        sorted((_mutant(plan, value) for plan in chosen), key=lambda mutant: (mutant.kind, mutant.path, mutant.what))
    )


def _mutant(plan: _Plan, value: Json) -> Mutant:
    return Mutant(
        kind=plan.kind,
        path=as_pointer(plan.path),
        value=_put(value, plan.at, plan.make()),
        fields=tuple(dict.fromkeys(as_pointer(each) for each in plan.fields)),
        what=plan.what(),
    )


def _chosen(plans: Sequence[_Plan], seed: int) -> list[_Plan]:
    """The first of each kind and field, then the second of each, in an order drawn by the seed."""
    ranks: dict[tuple[str, Tokens], int] = {}
    ranked: list[tuple[int, int, _Plan]] = []
    numbers_drawn = {number: _number(seed, plan.kind, plan.path, number) for number, plan in enumerate(plans)}
    for number in sorted(numbers_drawn, key=numbers_drawn.__getitem__):
        plan = plans[number]
        rank = ranks[plan.kind, plan.fields[0]] = ranks.get((plan.kind, plan.fields[0]), -1) + 1
        if rank < PER_FIELD:
            ranked.append((rank, numbers_drawn[number], plan))
    return [plan for _, _, plan in sorted(ranked, key=lambda each: each[:2])]


def _number(seed: int, *what: object) -> int:
    """A number drawn by the seed: a digest, because the state of a random number generator would be shared."""
    return int(digest_bytes(repr((seed, *what)).encode("utf-8", "backslashreplace"))[:15], 16)


# ------------------------------------------------------------------------------------------------- locations


def _locations(value: Json, document: SchemaDocument) -> Iterator[_Location]:
    """The locations of a value, level by level."""
    level, count = [_Location((), (), value, root_schemas(document))], 0
    while level and count < MAX_LOCATIONS:
        yield from level
        count += len(level)
        level = [below for location in level for below in _below(location)][:MAX_LOCATIONS]


def _below(location: _Location) -> Iterator[_Location]:
    if len(location.path) == MAX_DEPTH:
        return
    if isinstance(location.value, dict):
        for name in islice(location.value, MAX_MEMBERS):
            inner = property_schemas(location.schemas, name)
            yield _Location((*location.path, name), _field(location, name), location.value[name], inner)
    elif isinstance(location.value, list):
        for number, item in enumerate(location.value[:MAX_ITEMS]):
            inner = item_schemas(location.schemas, number)
            yield _Location((*location.path, str(number)), (*location.field, _ANY), item, inner)


def _field(location: _Location, name: str) -> Tokens:
    return (*location.field, name if is_declared(location.schemas, name) else _ANY)


def _put(value: Json, at: Tokens, after: Json) -> Json:
    """A copy of `value` with `after` at one location; all other parts are shared."""
    if not at:
        return after
    if isinstance(value, list):
        return [_put(item, at[1:], after) if number == int(at[0]) else item for number, item in enumerate(value)]
    return {name: _put(item, at[1:], after) if name == at[0] else item for name, item in value.items()}


# ------------------------------------------------------------------------------------------------- plans


def _plans(location: _Location, seed: int) -> Iterator[_Plan]:
    if isinstance(location.value, dict):
        yield from _dropped(location)
        yield from _swapped_members(location)
    elif isinstance(location.value, list):
        yield from _truncated(location)
        yield from _swapped_items(location)
    elif others := other_choices(location.schemas, location.value):
        yield from (_replaced(location, "other member", other) for other in others[:MAX_ITEMS])
    else:
        yield from _scalars(location, seed)


def _scalars(location: _Location, seed: int) -> Iterator[_Plan]:
    value = location.value
    if isinstance(value, bool):
        yield _replaced(location, "negated", not value)
    elif isinstance(value, int | float):
        for kind, other in numbers(value, wants_whole_number(location.schemas)):
            if other not in (float("inf"), float("-inf")):
                yield _replaced(location, kind, other)
    elif isinstance(value, str) and is_date(value):
        yield from (_replaced(location, "date shifted", other) for other in dates(value))
    elif isinstance(value, str) and value:
        yield _replaced(location, "typo", typo(value, _number(seed, location.path)))


def _replaced(location: _Location, kind: Kind, other: Json) -> _Plan:
    """Another scalar in its place."""
    return _Plan(
        kind,
        location.path,
        (location.field,),
        location.path,
        lambda: f"{_clipped_json(location.value)} → {_clipped_json(other)}",
        lambda: other,
        (location.value, other),
    )


def _dropped(location: _Location) -> Iterator[_Plan]:
    return (_without(location, name) for name in islice(location.value, MAX_MEMBERS))


def _without(location: _Location, name: str) -> _Plan:
    return _Plan(
        "dropped",
        (*location.path, name),
        (_field(location, name),),
        location.path,
        lambda: f"{_clipped_json(location.value[name])} left out",
        lambda: {each: item for each, item in location.value.items() if each != name},
    )


def _swapped_members(location: _Location) -> Iterator[_Plan]:
    """Each member with the next of its type."""
    names: dict[str, list[str]] = {}
    for name in islice(location.value, MAX_MEMBERS):
        names.setdefault(_type(location.value[name]), []).append(name)
    return (_swapped_pair(location, *pair) for alike in names.values() for pair in pairwise(alike))


def _swapped_pair(location: _Location, one: str, other: str) -> _Plan:
    value = location.value
    return _Plan(
        "swapped",
        (*location.path, one),
        (_field(location, one), _field(location, other)),
        location.path,
        lambda: f"with {as_pointer((*location.path, other))}",
        lambda: {**value, one: value[other], other: value[one]},
        (value[one], value[other]),
    )


def _truncated(location: _Location) -> Iterator[_Plan]:
    value = location.value
    if value:
        what = f"the last of {len(value)} left out"
        yield _Plan("truncated", location.path, (location.field,), location.path, lambda: what, lambda: value[:-1])


def _swapped_items(location: _Location) -> Iterator[_Plan]:
    """Each item with the next, where their order matters; and each member of an item with the same one of the next."""
    for number, (one, other) in enumerate(pairwise(location.value[:MAX_ITEMS])):
        if not is_set(location.schemas):
            yield _exchanged(location, number, (one, other), (other, one), location.field)
        if isinstance(one, dict) and isinstance(other, dict):
            for name in islice((name for name in one if name in other), MAX_MEMBERS):
                if _type(one[name]) == _type(other[name]):
                    yield _exchanged_members(location, number, one, other, name)


def _exchanged_members(
    location: _Location, number: int, one: dict[str, Json], other: dict[str, Json], name: str
) -> _Plan:
    after = ({**one, name: other[name]}, {**other, name: one[name]})
    return _exchanged(location, number, (one[name], other[name]), after, (*location.field, _ANY, name), (name,))


def _exchanged(
    location: _Location,
    number: int,
    pair: tuple[Json, Json],
    after: tuple[Json, Json],
    field_changed: Tokens,
    below: Tokens = (),
) -> _Plan:
    """Two neighbouring items as they are after a swap."""
    value = location.value
    return _Plan(
        "swapped",
        (*location.path, str(number), *below),
        (field_changed,),
        location.path,
        lambda: f"with {as_pointer((*location.path, str(number + 1), *below))}",
        lambda: [*value[:number], *after, *value[number + 2 :]],
        pair,
    )


def _type(value: Json) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def _clipped_json(value: Json) -> str:
    text = encode(value).decode()
    return text if len(text) <= _CLIPPED else text[: _CLIPPED - 1] + "…"
