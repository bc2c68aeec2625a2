"""Values in a wrapper that the schema does not know, and values without one that it asks for.

A key around a value says something of it, unless it is one of a few names that say nothing: those of `GENERIC`, the title of
the schema, and the name of the guard. `{"avoid": "BASIC"}` does not say BASIC. The table fails closed: what it lacks is refused,
and the model is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from llmguard.core.canonical import Json
from llmguard.core.patterns import Pattern
from llmguard.parsing.coerce.fits import Fit, FitRequest, Fittings, lossless_repair, receipt_value
from llmguard.parsing.coerce.nodes import Node
from llmguard.parsing.coerce.schema_plan import CoercionPlan
from llmguard.schema.keywords import word_set
from llmguard.values.words import ABSENT, NOTHING, normalized_key, normalized_words

GENERIC = frozenset(
    (
        "final answer",
        *"value result results answer answers final output outputs response responses content data json".split(),
    )
) | {"object", "arguments", "parameters"}
"""Names for any value: what JSON mode, tool calls and envelopes of services put around an answer."""

GENERIC_OF_LISTS = word_set("items list array entries elements records")
"""Names for any list, where a list is due."""

GENERIC_OF_MEMBERS = word_set("label category class classification choice prediction")
"""Names for any member of an enum, where one is due: what models in JSON mode put around a class."""

# The shapes of a tool call: which key names the tool, and which holds its arguments.
_CALL_NAMES: Final = ("name", "tool", "tool_name", "action", "recipient_name", "function")
_CALL_ARGUMENTS: Final = ("arguments", "parameters", "input", "args", "tool_input", "action_input", "tool_arguments")
"""OpenAI `arguments`, Llama `parameters`, Anthropic `input`, Gemini `args`, LangChain's ReAct `action_input` and `tool_input`."""

_CALL_DETAILS = word_set("type id call_id index toolUseId")
_CALL_ENVELOPES: Final = ("function", "tool_call", "tool_calls", "function_call", "functionCall", "tool_use", "toolUse")
"""The one key around a call, or beside its type and id."""

_OPENED_CALL = Pattern(
    r"<function=([\w.-]{1,60})>\s*\Z|<(?:invoke|function|tool)\s+name=[\"']?([\w.-]{1,60})[\"']?\s*>\s*\Z"
    r"|((?<![\w.])(?:[A-Za-z_][\w.]{0,60}\(\s*){1,3})['\"`]{0,3}\Z"
)
_CALL_CHARS = 200
_HANDS_ON = word_set(
    "print pprint printf println echo log dump dumps load loads parse stringify write display show dict list tuple object json"
    " submit respond reply answer result output return finalanswer emit send"
)
"""Functions that hand a value on as it is: printing, JSON's own, and words for giving an answer."""

HOLD_ARGUMENTS = frozenset((*_CALL_ARGUMENTS, *_CALL_ENVELOPES))
CALL_KEYS = HOLD_ARGUMENTS | frozenset(_CALL_NAMES) | _CALL_DETAILS
"""Every key that a tool call may have."""

_SEPARATED = Pattern(r"[,;|/\n•&+、，；]| and | or ")
_ONE_WORD = Pattern(r"[^\W_][^\s]*+\Z")
_WITHOUT_SPACES = Pattern(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Thai, Lao, Burmese, Khmer, kana and Han: several words stand there without a space between, so none is known to be one."""

_NOTHING_ELSEWHERE = word_set(
    "keine keiner keines keins kein nichts leer aucun aucune rien néant vide ninguno ninguna nada vacío nenhum nenhuma vazio"
    " nessuno nessuna niente nulla vuoto geen niets leeg brak żaden żadne nic inget inga ingen ingenting ingenting tom"
    " ei mitään žádný žádné nic hiç yok нет ничего отсутствует нету немає пусто κανένα τίποτα"
    " nothing no nobody empty n/a na tba tbd tbc null nil unknown unspecified various multiple several"
    " many all any other others etc 없음 없다 무 해당없음 모름 yoktur hiçbiri"
    " zero 0 - x xx"
)
"""One word for none, or for an unknown number, is no item. `ABSENT` has the English ones that stand for one value."""


def unwrapped(request: FitRequest, node: Node, name: str) -> Iterator[tuple[Json, str]]:
    """What a wrapper holds, and the rule: the one item of a list, the one member of an object, a call's arguments.

    `name`: the guard's, which is also that of the tool that was offered.
    """
    value = request.value
    if isinstance(value, list) and len(value) == 1 and "array" not in node.types and (node.types or node.branches):
        yield value[0], "one_of_list"
    if not isinstance(value, dict):
        return
    if called := _arguments(value, node, name):
        yield called[0], "tool_call"
    elif len(value) == 1 and not any(node.property_for(key) for key in value):
        ((key, inner),) = value.items()
        if _is_wrapper(key, request, node, name):
            yield inner, "wrapper"


def _arguments(value: Mapping[str, Json], node: Node, offered: str) -> tuple[Json, ...]:
    """The arguments of a call of the tool that was offered, as a tuple of one; empty where the object is no such call.

    Keys that are properties of the schema are no signs of a call: an object may well have a `name` and an `input`.
    """
    keys = value.keys() - node.properties.keys() if len(value) > 1 else value.keys()
    around = next((key for key in _CALL_ENVELOPES if key in keys and isinstance(value[key], dict | list)), None)
    if around is not None and value.keys() <= _CALL_DETAILS | {around} and around not in node.properties:
        return (value[around],)
    held = next((key for key in _CALL_ARGUMENTS if key in keys), None)
    named = next((key for key in _CALL_NAMES if key in value and isinstance(value[key], str)), None)
    if held is None or not value.keys() <= _CALL_DETAILS | {held, named} or len(value) == 1:
        return ()
    return (value[held],) if named is None or is_offered(value[named], offered) else ()


def is_offered(tool: str, offered: str) -> bool:
    """Whether a call names the tool that was offered; some models write its namespace before it.

    >>> is_offered("functions.triage", "triage"), is_offered("cancel_order", "triage")
    (True, False)
    """
    return bool(offered) and normalized_key(tool.removeprefix("functions.")) == normalized_key(offered)


def is_in_other_call(before: str, own: frozenset[str]) -> bool:
    """Whether the text before a value opens a call, as a tag or as code, of something else than what hands a value on or has
    one of the `own` names (`normalized_key`): `cancel_order({…`, `<function=cancel_order>{…`.

    >>> [is_in_other_call(text, frozenset({"triage"})) for text in ("cancel(", "triage(", "print(json.dumps(", "<function=x>")]
    [True, False, False, True]
    """
    opened = _OPENED_CALL.search(before[-_CALL_CHARS:])
    if not opened:
        return False
    names = [name.rpartition(".")[2] for name in (opened[1] or opened[2] or opened[3] or "").split("(") if name.strip()]
    return any(normalized_key(name) not in own | _HANDS_ON for name in names)


def _is_wrapper(key: str, request: FitRequest, node: Node, name: str) -> bool:
    words = normalized_words(key)
    if normalized_key(key) == normalized_key(request.name):
        return False  # a member's own name: what is in it is another object, of which this is a part
    if words in GENERIC or ("array" in node.types and words in GENERIC_OF_LISTS):
        return True
    if node.members is not None and words in GENERIC_OF_MEMBERS:
        return True
    own = {normalized_key(node.title), "" if request.path else normalized_key(name)}
    return normalized_key(key) in own - {""}


def wrapped(request: FitRequest, node: Node, plan: CoercionPlan) -> Fittings:
    """One value where a list is expected, or a value without the object of one member around it."""
    fits: list[Fit] = []
    value = request.value
    is_item = request.path.rpartition("/")[2].isdecimal()  # a row of a table that lost its brackets is not the row
    if "array" in node.types and not isinstance(value, list) and not is_item and _is_one(value, node, plan):
        fit = yield request._replace(value=[value])
        fits.append(fit.after(lossless_repair(request.path, receipt_value(value), "[…]", "one_for_list")))
    name = _only_member(node)
    if name and _fills_member(value, node, name, plan):
        fit = yield request._replace(value={name: value})
        before = "{…}" if isinstance(value, dict) else receipt_value(value)
        fits.append(fit.after(lossless_repair(request.path, before, f'{{"{name}": …}}', "unwrapped")))
    return fits


def _is_one(value: Json, node: Node, plan: CoercionPlan) -> bool:
    """Whether a value is certainly one item of a list: an object, a number, a member of an enum, or a single word."""
    if value is None or value == {} or node.prefix:
        return False  # nothing; and a tuple has places, of which one value does not say which it is for
    if not isinstance(value, str):
        return True
    item = plan.node(node.items) if node.items else Node()
    if item.members is not None:
        return True
    if _SEPARATED.search(value):
        return False
    is_free = not item.format and (not item.types or "string" in item.types)
    return not is_free or _is_one_word(value.strip())


def _is_one_word(text: str) -> bool:
    word = text.lower()
    nothing = word in ABSENT or word.replace(".", "").rstrip("!") in _NOTHING_ELSEWHERE | NOTHING
    return bool(_ONE_WORD.match(text)) and not nothing and not _WITHOUT_SPACES.search(text)


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
