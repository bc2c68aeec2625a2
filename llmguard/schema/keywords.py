"""What each draft of JSON Schema knows: its keywords, its formats, and which keywords hold schemas."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from llmguard.core.canonical import Json


def word_set(text: str) -> frozenset[str]:
    """The set of the words of a text."""
    return frozenset(text.split())


_DRAFT_4 = word_set(
    "id $schema $ref title description default definitions type enum format allOf anyOf oneOf not"
    " multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern"
    " items additionalItems maxItems minItems uniqueItems"
    " properties patternProperties additionalProperties required dependencies maxProperties minProperties"
)
_DRAFT_6 = _DRAFT_4 - {"id"} | word_set("$id examples contains propertyNames const")
_DRAFT_7 = _DRAFT_6 | word_set("$comment if then else readOnly writeOnly contentMediaType contentEncoding")
_SINCE_2019 = _DRAFT_7 | word_set(
    "$anchor $vocabulary $defs dependentSchemas dependentRequired unevaluatedItems unevaluatedProperties"
    " maxContains minContains contentSchema deprecated"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One draft. `ref_stands_alone`: before 2019-09 the keywords beside a `$ref` were ignored."""

    name: str
    uri: str
    keywords: frozenset[str] = field(repr=False)
    ref_stands_alone: bool
    definitions: str

    @property
    def id_keyword(self) -> str:
        return "id" if "id" in self.keywords else "$id"


DRAFTS = (
    Draft(
        name="2020-12",
        uri="https://json-schema.org/draft/2020-12/schema",
        keywords=_SINCE_2019 - {"additionalItems"} | {"$dynamicRef", "$dynamicAnchor", "prefixItems"},
        ref_stands_alone=False,
        definitions="$defs",
    ),
    Draft(
        name="2019-09",
        uri="https://json-schema.org/draft/2019-09/schema",
        keywords=_SINCE_2019 | {"$recursiveRef", "$recursiveAnchor"},
        ref_stands_alone=False,
        definitions="$defs",
    ),
    *(
        Draft(
            name=str(number),
            uri=f"http://json-schema.org/draft-0{number}/schema",
            keywords=keywords,
            ref_stands_alone=True,
            definitions="definitions",
        )
        for number, keywords in ((7, _DRAFT_7), (6, _DRAFT_6), (4, _DRAFT_4))
    ),
)
LATEST = DRAFTS[0]
ALL_KEYWORDS = frozenset().union(*(draft.keywords for draft in DRAFTS))
ANY_DRAFT = Draft(
    name="any", uri=LATEST.uri, keywords=ALL_KEYWORDS, ref_stands_alone=LATEST.ref_stands_alone, definitions="$defs"
)
"""For a schema that is read whatever its draft: each keyword of any draft counts."""

FORMATS = word_set(
    "date date-time time duration email idn-email hostname idn-hostname ipv4 ipv6 uri uri-reference iri"
    " iri-reference uri-template json-pointer relative-json-pointer regex uuid"
)
"""The formats that are asserted; any other is an annotation."""

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
NAMED = word_set("properties patternProperties $defs definitions dependentSchemas dependencies")
LISTED = word_set("allOf anyOf oneOf prefixItems items")
SINGLE = word_set(
    "not if then else contains items additionalItems additionalProperties propertyNames unevaluatedItems"
    " unevaluatedProperties contentSchema"
)
CONTAINERS = frozenset(("$defs", "definitions"))
IN_PLACE = word_set("allOf anyOf oneOf not if then else dependentSchemas dependencies")
"""Keywords whose schemas judge the value itself, not a part of it: a cycle through only these never ends."""


def draft_of(uri: str) -> Draft | None:
    """The draft that `$schema` names, with or without its `#`, by http or https."""
    plain = uri.removesuffix("#").replace("https://", "http://")
    return next((draft for draft in DRAFTS if draft.uri.replace("https://", "http://") == plain), None)


def is_schema(value: Json) -> bool:
    return isinstance(value, dict | bool)


def as_pointer(tokens: tuple[str, ...]) -> str:
    """RFC 6901.

    >>> as_pointer(("a/b", "0", "~"))
    '/a~1b/0/~0'
    """
    return "".join(map(as_step, tokens))


def as_step(token: str) -> str:
    """One token of a pointer, with the `/` before it."""
    return f"/{token.replace('~', '~0').replace('/', '~1')}" if "~" in token or "/" in token else f"/{token}"


def as_tokens(pointer: str) -> tuple[str, ...]:
    """The inverse of `as_pointer`."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def as_fragment(pointer: str) -> str:
    """A pointer as a `$ref` has it: RFC 6901, section 6."""
    return "#" + "".join(
        letter if letter in _PLAIN else "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))
        for letter in pointer
    )


def from_fragment(ref: str) -> str | None:
    """The pointer of a `$ref` into the same document; None where it refers to something else."""
    if ref != "#" and not ref.startswith("#/"):
        return None
    if "%" not in ref:
        return ref[1:]
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda hit: bytes([int(hit[1], 16)]), ref[1:].encode()).decode(
        "utf-8", "replace"
    )


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/?")
