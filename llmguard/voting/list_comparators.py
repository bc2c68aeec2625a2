"""Comparators for lists: as a set of elements, or aligned element by element and voted slot by slot.

Whether an element is kept can change as samples arrive, so such a field needs a fixed number of samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeAlias

from llmguard.core.canonical import Json, encode
from llmguard.core.errors import UsageError
from llmguard.core.outcome import Alternative
from llmguard.schema.keywords import as_tokens
from llmguard.voting.alignment import MAX_ALIGNED, assignment
from llmguard.voting.normal_forms import Form, NormalForms
from llmguard.voting.record_vote import EXACT, RecordVote, distance_of, vote_on
from llmguard.voting.votes import (
    ABSENT,
    INVALID,
    MAX_ALTERNATIVES,
    AnswerClass,
    Ballot,
    Comparator,
    FieldVote,
    Missing,
    count_votes,
    most_common,
    support_marks,
)

Slot: TypeAlias = object
Rows: TypeAlias = dict[int, list[Json]]
"""The samples that are lists, by their number."""


def _list_or_not(votes: Sequence[Ballot]) -> tuple[FieldVote, Rows]:
    """The vote on whether there is a list at all (null, a text or nothing may win); and the samples that are lists."""
    normal_forms = NormalForms()
    classes: list[AnswerClass | None] = []
    for vote in votes:
        if isinstance(vote, Missing):
            classes.append(None if vote is INVALID else vote)
        else:
            classes.append("a list" if isinstance(vote, list) else ("other", normal_forms.of(vote)))
    lists = {number: vote for number, vote in enumerate(votes) if isinstance(vote, list)}
    return count_votes([[] if isinstance(each, list) else each for each in votes], classes), lists


@dataclass(frozen=True, slots=True)
class SetComparator:
    """A list whose order and repetitions do not matter: an element is kept if at least half of the lists have it.

    Agreement is the mean Jaccard index of the samples to the result; a sample supports it where it has the same
    elements. `ambiguous`: exactly half have an element.

    >>> SetComparator().vote([["a", "b"], ["b", "A"], ["a", "c"]]).value
    ['a', 'b']
    """

    name: ClassVar[str] = "set"
    version: ClassVar[int] = 2
    monotone: ClassVar[bool] = False

    def vote(self, votes: Sequence[Ballot]) -> FieldVote:
        list_or_not, lists = _list_or_not(votes)
        if list_or_not.value != [] or not list_or_not.present:
            return list_or_not
        normal_forms = NormalForms()
        elements = {number: _elements(row, normal_forms) for number, row in lists.items()}
        counts = Counter(form for row in elements.values() for form in row)
        kept = {form for form, count in counts.items() if 2 * count >= len(lists)}
        half = any(2 * count == len(lists) for count in counts.values())
        supporters = [number for number, row in elements.items() if row.keys() == kept]
        others = Counter(frozenset(row) for row in elements.values() if row.keys() != kept)
        return replace(
            list_or_not,
            value=_in_usual_order(kept, list(elements.values())),
            support=support_marks(len(votes), supporters),
            votes=len(supporters),
            runner_up_votes=max(others.values(), default=0),
            agreement=sum(_jaccard(row.keys(), kept) for row in elements.values()) / len(votes),
            alternatives=(*_left_out(counts, kept, elements), *list_or_not.alternatives),
            ambiguous=list_or_not.ambiguous or half,
        )

    def distance(self, one: Json, other: Json) -> float:
        normal_forms = NormalForms()
        if not isinstance(one, list) or not isinstance(other, list):
            return float(normal_forms.of(one) != normal_forms.of(other))
        return 1 - _jaccard(_elements(one, normal_forms).keys(), _elements(other, normal_forms).keys())

    def description(self) -> Json:
        return {"name": self.name, "version": self.version}


Elements: TypeAlias = dict[Form, tuple[int, Json]]
"""The distinct elements of a list: normal form → (index, value)."""


def _elements(row: list[Json], normal_forms: NormalForms) -> Elements:
    elements: Elements = {}
    for index, value in enumerate(row):
        elements.setdefault(normal_forms.of(value), (index, value))
    return elements


def _jaccard(one: object, other: object) -> float:
    mine, theirs = set(one), set(other)  # type: ignore[call-overload]
    return len(mine & theirs) / len(mine | theirs) if mine or theirs else 1.0


def _in_usual_order(kept: set[Form], rows: list[Elements]) -> list[Json]:
    """The kept elements by their mean index, each in its most common spelling."""
    ordered = []
    for form in kept:
        occurrences = [row[form] for row in rows if form in row]
        value = most_common([value for _, value in occurrences])
        ordered.append((sum(index for index, _ in occurrences) / len(occurrences), encode(value), value))
    return [value for _, _, value in sorted(ordered, key=lambda each: each[:2])]


def _left_out(counts: Mapping[Form, int], kept: set[Form], elements: Mapping[int, Elements]) -> tuple[Alternative, ...]:
    """The elements that were not kept, as lists of one, most frequent first."""
    spellings: dict[Form, list[Json]] = {}
    for row in elements.values():
        for form, (_, value) in row.items():
            if form not in kept:
                spellings.setdefault(form, []).append(value)
    ranked = sorted(
        ((-counts[form], encode(most_common(values)), most_common(values)) for form, values in spellings.items())
    )
    return tuple(Alternative([value], -count) for count, _, value in ranked[:MAX_ALTERNATIVES])


# ------------------------------------------------------------------------------------------------- aligned lists


@dataclass(frozen=True, slots=True)
class ListComparator:
    """A list voted on slot by slot, each element field by field.

    Elements of different samples share a slot where they have the same `key` (a property's name or a JSON Pointer
    within the element; a key's second occurrence is a slot of its own). Without a key, slots are the optimal assignment
    to the medoid's elements. A slot is kept where more than half of the lists have it; at exactly half the first list
    decides. `fields` names comparators within an element, as on a guard. Agreement is the mean share of a sample's and
    the result's slots in which they are equal.

    >>> rows = [[{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}], [{"sku": "B", "qty": 2}], [{"sku": "B", "qty": 3}]]
    >>> ListComparator(key="sku").vote(rows).value
    [{'sku': 'B', 'qty': 2}]
    """

    key: str = ""
    fields: Mapping[str, Comparator] = field(default_factory=dict)
    name: ClassVar[str] = "list"
    version: ClassVar[int] = 2
    monotone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise UsageError(f"list(key=...): expected a property's name or a JSON Pointer, got {self.key!r}.")

    def vote(self, votes: Sequence[Ballot]) -> FieldVote:
        list_or_not, lists = _list_or_not(votes)
        if list_or_not.value != [] or not list_or_not.present:
            return list_or_not
        slots = self._aligned(lists)
        first = min(lists)
        chosen = {slot: self._chosen(column, len(lists), first) for slot, column in slots.items()}
        rows = {number: _equal_slots(number, slots, chosen) for number in lists}
        supporters = [number for number, (equal, of) in rows.items() if equal == of]
        return replace(
            list_or_not,
            value=[each.vote.value for each in chosen.values() if each.kept],
            support=support_marks(len(votes), supporters),
            votes=len(supporters),
            agreement=sum(equal / of if of else 1.0 for equal, of in rows.values()) / len(votes),
            alternatives=_other_slots(chosen) + list_or_not.alternatives,
            ambiguous=list_or_not.ambiguous or any(each.ambiguous for each in chosen.values()),
        )

    def _aligned(self, lists: Rows) -> dict[Slot, dict[int, Json]]:
        """slot → sample → element; slots in the medoid's order, then those that it lacks by their mean index."""
        normal_forms = NormalForms()
        middle = _medoid(lists, normal_forms)
        if self.key:
            names = {number: self._keys(row, normal_forms) for number, row in lists.items()}
        else:
            names = _assigned(lists, middle, normal_forms, self.fields)
        columns: dict[Slot, dict[int, Json]] = {}
        indices: dict[Slot, list[int]] = {}
        for number, row in lists.items():
            for index, (slot, element) in enumerate(zip(names[number], row, strict=True)):
                columns.setdefault(slot, {})[number] = element
                indices.setdefault(slot, []).append(index)
        lead = {slot: index for index, slot in enumerate(names[middle])}
        order = sorted(columns, key=lambda slot: _order(slot, lead, indices[slot], columns[slot]))
        return {slot: columns[slot] for slot in order}

    def _keys(self, row: list[Json], normal_forms: NormalForms) -> list[Slot]:
        """Each element's key with how often it came before in this list."""
        before: Counter[Form] = Counter()
        slots: list[Slot] = []
        for element in row:
            form = _key_form(element, self.key, normal_forms)
            slots.append((form, before[form]))
            before[form] += 1
        return slots

    def _chosen(self, column: dict[int, Json], of: int, first: int) -> _Chosen:
        present = 2 * len(column)
        kept = present > of or (present == of and first in column)
        numbers = sorted(column)
        vote = vote_on([column[number] for number in numbers], self.fields)
        supporters = {number for number, supports in zip(numbers, vote.support, strict=True) if supports}
        return _Chosen(vote, kept, present == of or (kept and vote.ambiguous), supporters, len(column))

    def distance(self, one: Json, other: Json) -> float:
        normal_forms = NormalForms()
        if not isinstance(one, list) or not isinstance(other, list):
            return float(normal_forms.of(one) != normal_forms.of(other))
        return _bag_distance(_atoms(one, normal_forms), _atoms(other, normal_forms))

    def description(self) -> Json:
        fields = {pointer: comparator.description() for pointer, comparator in sorted(self.fields.items())}
        return {"name": self.name, "version": self.version, "key": self.key, "fields": fields}


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A slot of the result: its element by vote, and whether it is kept."""

    vote: RecordVote
    kept: bool
    ambiguous: bool
    supporters: set[int]
    count: int


def _equal_slots(
    number: int, slots: Mapping[Slot, Mapping[int, Json]], chosen: Mapping[Slot, _Chosen]
) -> tuple[int, int]:
    """The number of slots in which a sample equals the result, and of all slots that it or the result has."""
    equal = of = 0
    for slot, column in slots.items():
        each = chosen[slot]
        if each.kept or number in column:
            of += 1
            equal += each.kept and number in each.supporters
    return equal, of


def _other_slots(chosen: Mapping[Slot, _Chosen]) -> tuple[Alternative, ...]:
    """Elements that were left out, as lists of one, most frequent first."""
    out = [Alternative([each.vote.value], each.count) for each in chosen.values() if not each.kept]
    return tuple(sorted(out, key=lambda each: -each.votes)[:MAX_ALTERNATIVES])


def _key_form(element: Json, key: str, normal_forms: NormalForms) -> Form:
    for token in as_tokens(key) if key.startswith("/") else (key,):
        if not isinstance(element, dict) or token not in element:
            return ("no key", normal_forms.of(element))
        element = element[token]
    return normal_forms.of(element)


def _order(slot: Slot, lead: Mapping[Slot, int], indices: list[int], column: Mapping[int, Json]) -> tuple[object, ...]:
    if slot in lead:
        return (0, lead[slot], b"")
    return (1, sum(indices) / len(indices), min(map(encode, column.values())))


# ------------------------------------------------------------------------------------------------- by assignment


def _medoid(lists: Rows, normal_forms: NormalForms) -> int:
    """The list with the least total distance to the others; of equal ones the first in the order of encoding."""
    atoms = {number: _atoms(row, normal_forms) for number, row in lists.items()}
    texts = {number: encode(row) for number, row in lists.items()}
    copies = Counter(texts.values())
    distinct = {text: atoms[number] for number, text in texts.items()}
    totals = {
        text: sum(count * _bag_distance(mine, distinct[other]) for other, count in copies.items())
        for text, mine in distinct.items()
    }
    return min(lists, key=lambda number: (totals[texts[number]], texts[number], number))


def _atoms(row: list[Json], normal_forms: NormalForms) -> Counter[Form]:
    """A list as a bag of its elements' properties, each a name with its value."""
    return Counter(
        (name, normal_forms.of(value))
        for element in row
        for name, value in (element.items() if isinstance(element, dict) else (("", element),))
    )


def _bag_distance(one: Counter[Form], other: Counter[Form]) -> float:
    most = max(one.total(), other.total())
    return 1 - (one & other).total() / most if most else 0.0


def _assigned(
    lists: Rows, middle: int, normal_forms: NormalForms, fields: Mapping[str, Comparator]
) -> dict[int, list[Slot]]:
    """Each list's slots. Lists are taken by their distance to the medoid, so that submission order does not matter."""
    heads: list[Json] = []
    lead = _atoms(lists[middle], normal_forms)
    names: dict[int, list[Slot]] = {}
    order = sorted(
        lists, key=lambda each: (_bag_distance(_atoms(lists[each], normal_forms), lead), encode(lists[each]), each)
    )
    for number in [middle, *(each for each in order if each != middle)]:
        names[number] = list[Slot](_slots_for(lists[number], heads, normal_forms, fields))
    return names


def _slots_for(
    row: list[Json], heads: list[Json], normal_forms: NormalForms, fields: Mapping[str, Comparator]
) -> list[int]:
    """A slot for each element of `row`: that of an equal head, else of the nearest by assignment, else a new one."""
    slot_of = _equal_pairs(row, heads, normal_forms)
    left = [index for index in range(len(row)) if index not in slot_of]
    free = [slot for slot in range(len(heads)) if slot not in slot_of.values()]
    for index, slot in _nearest(row, left, heads, free, fields):
        slot_of[index] = slot
    for index in left:
        if index not in slot_of:
            heads.append(row[index])
            slot_of[index] = len(heads) - 1
    return [slot_of[index] for index in range(len(row))]


def _equal_pairs(row: list[Json], heads: list[Json], normal_forms: NormalForms) -> dict[int, int]:
    """Equal elements are paired first: for a metric some optimal assignment has all pairs at distance 0."""
    waiting: dict[Form, list[int]] = {}
    for slot in range(len(heads) - 1, -1, -1):
        waiting.setdefault(normal_forms.of(heads[slot]), []).append(slot)
    slot_of: dict[int, int] = {}
    for index, element in enumerate(row):
        slots = waiting.get(normal_forms.of(element))
        if slots:
            slot_of[index] = slots.pop()
    return slot_of


def _nearest(
    row: list[Json], left: list[int], heads: list[Json], free: list[int], fields: Mapping[str, Comparator]
) -> list[tuple[int, int]]:
    """Pairs (index, slot) of the least total distance. Elements with nothing in common are not paired; of more than
    `MAX_ALIGNED` on a side only the first ones are assigned, which bounds the cost of a long list."""
    left, free = left[:MAX_ALIGNED], free[:MAX_ALIGNED]
    costs = [[element_distance(row[index], heads[slot], fields) for slot in free] for index in left]
    return [(left[i], free[j]) for i, j in assignment(costs) if costs[i][j] < 1]


def element_distance(one: Json, other: Json, fields: Mapping[str, Comparator]) -> float:
    """The share of properties in which two elements differ; the distance of the values where one is not an object."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return fields.get("", EXACT).distance(one, other)
    names = {**one, **other}
    if not names:
        return 0.0
    total = sum(
        distance_of(fields.get(f"/{name}", EXACT), one.get(name, ABSENT), other.get(name, ABSENT)) for name in names
    )
    return total / len(names)
