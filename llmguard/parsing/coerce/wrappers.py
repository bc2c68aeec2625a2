"""Values in a wrapper that the schema does not know, and values without one that it asks for."""

from __future__ import annotations

from collections.abc import Iterator

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.fits import Fit, FitRequest, Fittings, lossless_repair, receipt_value
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.schema_plan import CoercionPlan
from llmguard.schema.keywords import word_set
from llmguard.values.words import ABSENT, normalized_key, normalized_words

_CALL_KEYS = word_set("name arguments parameters type id function tool")
_GENERIC = word_set(
    "value result results answer answers output outputs data response json items list object content final entries records"
)
_NO_WRAPPER = word_set(
    "example examples sample draft template schema properties error errors previous old not wrong input incorrect"
    " placeholder before original invalid definitions defs type"
)
"""A key with one of these words says that its value is not the answer."""

_SEPARATED = Pattern(r"[,;|/\n•]| and | or | & ")


def unwrapped(request: FitRequest, node: Node) -> Iterator[tuple[Json, str]]:
    """What a wrapper holds, and the rule: the one item of a list, the one member of an object, a call's arguments."""
    value = request.value
    if isinstance(value, list) and len(value) == 1 and "array" not in node.types and (node.types or node.branches):
        yield value[0], "one_of_list"
    if not isinstance(value, dict):
        return
    if arguments := _arguments(value, node):
        yield arguments[0], "tool_call"
    elif len(value) == 1 and not any(node.property_for(key) for key in value):
        ((key, inner),) = value.items()
        if _is_wrapper(key, inner, request, node):
            yield inner, "wrapper"


def _arguments(value: dict[str, Json], node: Node) -> tuple[Json, ...]:
    """The arguments of a tool call, as a tuple of one; empty where the object is no call."""
    if not value.keys() <= _CALL_KEYS or _CALL_KEYS & node.properties.keys() - {"name", "type", "id"}:
        return ()
    arguments = next((value[key] for key in ("arguments", "parameters", "function") if key in value), None)
    return (arguments,) if arguments is not None and (len(value) > 1 or "function" in value) else ()


def _is_wrapper(key: str, inner: Json, request: FitRequest, node: Node) -> bool:
    if _NO_WRAPPER & set(normalized_words(key).split()):
        return False
    if isinstance(inner, dict | list):
        return True
    own = {normalized_key(request.name), normalized_key(node.title)} - {""}
    return normalized_key(key) in own or normalized_words(key) in _GENERIC or node.members is not None


def wrapped(request: FitRequest, node: Node, plan: CoercionPlan) -> Fittings:
    """One value where a list is expected, or a value without the object of one member around it."""
    fits: list[Fit] = []
    value = request.value
    if "array" in node.types and not isinstance(value, list) and value is not None and _is_one(value, node, plan):
        fit = yield request._replace(value=[value])
        fits.append(fit.after(lossless_repair(request.path, receipt_value(value), "[…]", "one_for_list")))
    name = _only_member(node)
    if name and _fills_member(value, node, name, plan):
        fit = yield request._replace(value={name: value})
        before = "{…}" if isinstance(value, dict) else receipt_value(value)
        fits.append(fit.after(lossless_repair(request.path, before, f'{{"{name}": …}}', "unwrapped")))
    return fits


def _is_one(value: Json, node: Node, plan: CoercionPlan) -> bool:
    """Whether a value is certainly one item, and not several in one text, or a word for none."""
    if not isinstance(value, str):
        return True
    if node.items and plan.node(node.items).members is not None:
        return True
    return not (_SEPARATED.search(value) or value.strip().lower() in ABSENT)


def _only_member(node: Node) -> str:
    """The name of the one property that must be there, where the object cannot be anything else."""
    if "object" not in node.types or len(node.properties) != 1:
        return ""
    return next(iter(node.properties)) if node.required <= node.properties.keys() else ""


def _fills_member(value: Json, node: Node, name: str, plan: CoercionPlan) -> bool:
    """A list, a number or a member of an enum; a text may be anything, so it fills no member."""
    member = plan.node(node.properties[name], name)
    if isinstance(value, dict):
        return bool(value) and not any(node.property_for(key) for key in value) and member.allows(value)
    if isinstance(value, list):
        return "array" in member.types
    if isinstance(value, str):
        return member.members is not None or (bool(member.types) and not member.types & {"string", "object", "array"})
    return value is not None and member.allows(value)
