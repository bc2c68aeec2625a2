"""What a damaged text leaves in doubt though it was read: only the schema tells whether a member moved, a comment names
another choice, or a call is of another function."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from llmguard.core.canonical import Json
from llmguard.core.outcome import Violation
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.schema_plan import CoercionPlan
from llmguard.parsing.syntax import Candidate
from llmguard.schema.keywords import as_tokens
from llmguard.schema.navigate import value_at
from llmguard.values.words import normalized_key, normalized_words

_PLAIN_CALLS = frozenset(("dict", "object"))


def structural_doubt(candidate: Candidate, plan: CoercionPlan, name: str) -> Violation | None:
    """Why a candidate is not read though its text was; None where nothing is in doubt. `name`: the guard's."""
    return (
        _misplaced(candidate, plan)
        or (_moved_out(candidate.value, plan) if any(one.rule == "extra_closer" for one in candidate.repairs) else None)
        or (_called(candidate, plan, name) if candidate.calls else None)
        or (_commented(candidate, plan) if candidate.comments else None)
    )


def _node_at(plan: CoercionPlan, pointer: str) -> tuple[Node, Node] | None:
    """The node for the value at `pointer`, and that of what is around it; None where the schema does not describe it."""
    node = outer = plan.root
    for token in as_tokens(pointer):
        outer = node
        if "object" in node.types and len(names := node.property_for(token)) == 1:
            node = plan.node(node.properties[names[0]], names[0])
        elif "array" in node.types and node.items:
            node = plan.node(node.items)
        else:
            return None
    return node, outer


# ------------------------------------------------------------------------------------------- closers


def _misplaced(candidate: Candidate, plan: CoercionPlan) -> Violation | None:
    """A missing closer may have been an inner one: refused unless the schema says where each entry belongs."""
    doubtful = [pointer for pointer in candidate.unsure if not _belongs(pointer, candidate.value, plan)]
    if not doubtful:
        return None
    message = "a closing bracket is missing, and it is not clear where"
    return Violation(doubtful[0], "ambiguous_brackets", message, "each bracket closed")


def _belongs(pointer: str, value: Json, plan: CoercionPlan) -> bool:
    """Whether the object at `pointer` names each of its members, and the one around it none, so that nothing can have moved."""
    found, members = _node_at(plan, pointer), value_at(value, as_tokens(pointer))
    if found is None or "object" not in found[0].types or not isinstance(members, dict):
        return False
    node, outer = found
    return all(node.property_for(key) and not outer.property_for(key) for key in members)


def _moved_out(value: Json, plan: CoercionPlan) -> Violation | None:
    """One closer too many at the end may stand for one too early: an unknown member that an object before it names."""
    for node, members in _objects(value, plan):
        inner: list[Node] = []
        for key, item in members.items():
            if (names := node.property_for(key)) and isinstance(item, dict):
                inner.append(plan.node(node.properties[names[0]], names[0]))
            elif not names and any(each.property_for(key) for each in inner):
                message = f"a bracket too many, and {key[:60]!r} may belong into the object before it"
                return Violation("", "ambiguous_brackets", message, "each bracket closed", key[:60])
    return None


def _objects(value: Json, plan: CoercionPlan) -> Iterator[tuple[Node, dict[str, Json]]]:
    """Every object that the schema describes, with its node."""
    left = [(plan.root, value)]
    while left:
        node, item = left.pop()
        if isinstance(item, dict) and node.properties:
            yield node, item
            for key, inner in item.items():
                if isinstance(inner, dict | list) and (names := node.property_for(key)):
                    left.append((plan.node(node.properties[names[0]], names[0]), inner))
        elif isinstance(item, list) and node.items:
            left += ((plan.node(node.items), inner) for inner in item)


# ------------------------------------------------------------------------------------------- calls


def _called(candidate: Candidate, plan: CoercionPlan, name: str) -> Violation | None:
    """`cancel(order="A1")` is no order. Read are calls by a name of the schema, as Python shows its values (`Line(…)` for an item
    of `lines`), and by the guard's."""
    own = {normalized_key(each) for each in (name, *plan.names)} | _PLAIN_CALLS
    for called in candidate.calls:
        word = normalized_key(called.rpartition(".")[2])
        if own.isdisjoint((word, word + "s", word + "es")):
            message = f"{called[:60]!r} is called, which names nothing of the schema"
            return Violation("", "other_call", message, "the value itself", called[:60])
    return None


# ------------------------------------------------------------------------------------------- comments


def _commented(candidate: Candidate, plan: CoercionPlan) -> Violation | None:
    """A comment that names a member of an enum, where another was chosen (`"priority": "low" // urgent for some`), or a property
    that the object around it lacks, as in a member that was commented out."""
    for pointer, words in candidate.comments:
        around, _, _ = pointer.rpartition("/")
        found, holder = _node_at(plan, around), value_at(candidate.value, as_tokens(around))
        if found is None:
            continue
        text = f" {normalized_words(words.strip('/*#<!-> '))} "
        if isinstance(holder, dict) and (lacking := _lacking(found[0], holder, text)):
            message = f"a comment names {lacking!r}, which is missing"
            return Violation(pointer, "ambiguous_comment", message, "the member itself", words[:80])
        for chosen, members in _choices(found[0], holder, plan):
            own = normalized_words(chosen) if isinstance(chosen, str) else ""
            named = [one for one in members if isinstance(one, str) and f" {normalized_words(one)} " in text]
            if any(normalized_words(one) not in own for one in named):
                message = f"a comment names {named[0]!r} beside the value"
                return Violation(pointer, "ambiguous_comment", message, "one value", words[:80])
    return None


def _lacking(node: Node, holder: Mapping[str, Json], text: str) -> str | None:
    present = {name for key in holder for name in node.property_for(key)}
    spelled = re.sub(r"[:=]", " ", text)
    return next(
        (name for name in node.properties if name not in present and f" {normalized_words(name)} " in spelled), None
    )


def _choices(node: Node, holder: Json, plan: CoercionPlan) -> Iterator[tuple[Json, tuple[Json, ...]]]:
    """The chosen values of an object or a list, each with the members it was chosen from."""
    if isinstance(holder, dict):
        for key, chosen in holder.items():
            if len(names := node.property_for(key)) == 1:
                members = plan.node(node.properties[names[0]], names[0]).members
                yield from [(chosen, members)] if members else []
    elif isinstance(holder, list) and node.items and (members := plan.node(node.items).members):
        yield " ".join(item for item in holder if isinstance(item, str)), members
