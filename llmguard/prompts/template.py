"""The body of a prompt: Jinja2 in a sandbox, with roles that only the template's own text can set.

A role line becomes a tag before Jinja parses, and the tag renders to a chunk of a type of its own. So the position of a
text in the template decides which message it belongs to; a rendered text that looks like a role line is only text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from llmguard.core.canonical import Json, encode
from llmguard.core.errors import UsageError
from llmguard.core.messages import Message, Role

if TYPE_CHECKING:
    from jinja2 import Environment, nodes
    from jinja2 import Template as JinjaTemplate
    from jinja2.lexer import Token

ROLES: Final = cast("tuple[Role, ...]", get_args(Role))
FOREIGN_ROLES = frozenset({"developer", "tool", "tools", "function", "thread"})
"""Roles of Prompty that a Message does not have; where a template has roles at all, these are an error, not text."""

MAX_PRODUCT = 1_000_000
"""The longest string or list that `*`, and the longest number in bits that `**`, may make in a template."""

_ROLE_LINE = re.compile(r"[ \t]*(?:#[ \t]*)?([A-Za-z]{2,20})(\[[^\]\n]*\])?[ \t]*:[ \t]*\Z")
_ROLE_FROM_DATA = re.compile(r"[ \t]*\{\{-?[^{}]{0,80}\brole\b[^{}]{0,20}\}\}[ \t]*:[ \t]*\Z")
_STR_FORMAT = re.compile(r"(?<!\{)\{([A-Za-z_]\w{0,60})\}(?!\})")
_IMAGE = re.compile(r"!\[[^\]\n]{0,200}\]\(")
_NEWLINE = re.compile(r"\r\n|\r|\n")  # as Jinja counts lines; str.splitlines knows more of them
_ROLE_TAG = "role line"  # not a name that a template can spell


class RoleMark(str):
    """A chunk of a rendering that is not text: a new role begins. Only its type distinguishes it from text."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled body. `required` are the variables that it needs."""

    compiled: JinjaTemplate = field(repr=False)
    has_roles: bool
    variables: frozenset[str]
    required: frozenset[str]
    warnings: tuple[str, ...]

    def render(self, inputs: Mapping[str, Json], *, max_characters: int) -> tuple[Message, ...]:
        """One message for each role line that is rendered, and one for text before the first of them."""
        messages: list[Message] = []
        role: Role = "system" if self.has_roles else "user"
        text: list[str] = []
        room = max_characters
        passed_any = not self.has_roles
        for chunk in self.compiled.root_render_func(self.compiled.new_context(cast("dict[str, Any]", inputs))):
            if type(chunk) is RoleMark:
                _add(messages, role, text, even_blank=passed_any)
                role, text, passed_any = cast(Role, chunk[:]), [], True
                continue
            room -= len(chunk)
            if room < 0:
                raise ValueError(f"the prompt gets longer than {max_characters:,} characters; shorten the inputs")
            text.append(chunk)
        _add(messages, role, text, even_blank=passed_any)
        if not messages:
            raise ValueError("the template gives no message for these inputs; let one role stand outside every if")
        return tuple(messages)


def _add(messages: list[Message], role: Role, text: list[str], *, even_blank: bool) -> None:
    content = "".join(text)
    if even_blank or content.strip():
        messages.append(Message(role, content))


def compile_template(body: str, where: str, is_file: bool) -> Template:
    """Parse, check and compile once. `is_file`: the text is in the Prompty format, so all its roles are reserved."""
    from jinja2 import TemplateSyntaxError, meta

    lines = _NEWLINE.split(body)
    roles = _role_lines(lines)
    _refuse_empty_roles(lines, roles, where)
    environment = _environment(lines, strict_roles=is_file or bool(roles))
    try:
        tree = environment.parse(body.rstrip())
        _refuse_what_cannot_run(tree, where)
        variables = frozenset(meta.find_undeclared_variables(tree)) - environment.globals.keys()
        code = environment.compile(tree)
    except TemplateSyntaxError as error:
        raise UsageError(_syntax_message(error, where)) from None
    except (RecursionError, SyntaxError, MemoryError):  # the last two: Python refuses the code that Jinja writes
        raise UsageError(f"{where} is nested too deeply. Split it, or build the prompt in a function.") from None
    plain_globals = dict(environment.globals)  # Jinja's own ChainMap makes up two thirds of a small rendering
    return Template(
        environment.template_class.from_code(environment, code, plain_globals),
        next(_marks(tree), None) is not None,
        variables,
        variables - _optional(tree),
        tuple(_warnings(lines, roles, variables, is_file)),
    )


def _syntax_message(error: Any, where: str) -> str:
    problem = str(error.message).rstrip(".")
    return (
        f"{where}, line {error.lineno}: {problem}. Mend the template there; text that holds {{{{ or {{% as it is stands"
        " between {% raw %} and {% endraw %}."
    )


# ------------------------------------------------------------------------------------------------- roles


def _role_lines(lines: list[str]) -> dict[int, Role]:
    """Line number, from 1, to role."""
    matches = {number: _ROLE_LINE.match(line) for number, line in enumerate(lines, 1)}
    return {
        number: cast(Role, match[1].lower()) for number, match in matches.items() if match and match[1].lower() in ROLES
    }


def _refuse_empty_roles(lines: list[str], roles: Mapping[int, Role], where: str) -> None:
    ends = [*sorted(roles), len(lines) + 1][1:]
    for number, end in zip(sorted(roles), ends, strict=True):
        if not any(line.strip() for line in lines[number : end - 1]):
            raise UsageError(
                f"{where}, line {number}: the {roles[number]} message is empty. Write its text below the role, or leave"
                " the role out."
            )


def _with_role_tags(stream: Iterator[Token], lines: list[str], *, strict: bool) -> Iterator[Token]:
    """The template's tokens, with a tag for each role line. Blank lines around a role belong to no message."""
    begins_message = True
    for token in stream:
        for part in _split_data(token, lines, strict) if token.type == "data" else (token,):
            if part.type == "data" and begins_message:
                part = part._replace(value=part.value.lstrip("\n"))
            is_role = part.type == "block_end" and part.value == _ROLE_TAG
            begins_message = is_role or (begins_message and part.value == "")
            yield part


def _split_data(token: Token, lines: list[str], strict: bool) -> Iterator[Token]:
    """Text and roles in turn. A role is alone on its line of the source: a line that has a tag as well is no role line."""
    text: list[str] = []
    for number, line in enumerate(token.value.split("\n"), token.lineno):
        role = _role_at(number, lines, strict) if _ROLE_LINE.match(line) else None
        if role is None:
            text.append(line)
            continue
        yield token._replace(value="\n".join(text).rstrip())
        for kind, value in (("block_begin", ""), ("name", _ROLE_TAG), ("string", role), ("block_end", _ROLE_TAG)):
            yield token._replace(lineno=number, type=kind, value=value)
        text = [""]
    yield token._replace(value="\n".join(text))


def _role_at(number: int, lines: list[str], strict: bool) -> str | None:
    """The role of line `number` of the source; None where it is no role line."""
    from jinja2 import TemplateSyntaxError

    match = _ROLE_LINE.match(lines[number - 1])
    if not match:
        return None
    role = match[1].lower()
    if role in FOREIGN_ROLES and strict:
        message = (
            f"unknown role {role!r}; roles are {', '.join(ROLES)}, and a line meant as text is {{{{ '{role}:' }}}}"
        )
        raise TemplateSyntaxError(message, number)
    if role in ROLES and match[2]:
        raise TemplateSyntaxError(f"a role has no attributes, found {match[2]!r}: write '{role}:'", number)
    return role if role in ROLES else None


def _marks(tree: nodes.Template) -> Iterator[nodes.EnvironmentAttribute]:
    from jinja2 import nodes

    return tree.find_all(nodes.EnvironmentAttribute)


def _warnings(lines: list[str], roles: Mapping[int, Role], variables: frozenset[str], is_file: bool) -> Iterator[str]:
    """Warnings of what is allowed and probably a mistake."""
    if is_file and not roles:
        yield "it has no role (a line 'system:' or 'user:'), so it is sent as one user message"
    for number, line in enumerate(lines, 1):
        if number not in roles and len(line) < 200:
            yield from (f"line {number} is sent as text: {warning}" for warning in _line_warnings(line, is_file))
    placeholder = None if variables else next((match for line in lines for match in _STR_FORMAT.finditer(line)), None)
    if placeholder:
        yield f"{placeholder[0]} is sent as text. Was {{{{ {placeholder[1]} }}}} meant?"


def _line_warnings(line: str, is_file: bool) -> Iterator[str]:
    match = _ROLE_LINE.match(line)
    if match and (near := get_close_matches(match[1].lower(), ROLES, 1, 0.75)):
        yield f"was '{near[0]}:' meant where {line.strip()!r} stands?"
    if any(line.startswith(f"{role}: ") for role in ROLES):
        yield "a role stands on a line of its own, and its text below"
    if _ROLE_FROM_DATA.match(line):
        yield "a role is never taken from data. Messages of any role come from a prompt function"
    if is_file and _IMAGE.search(line):
        yield "an image is sent by a prompt function that returns content parts"


# ------------------------------------------------------------------------------------------------- what Jinja may do


def _refuse_what_cannot_run(tree: nodes.Template, where: str) -> None:
    from jinja2 import nodes

    foreign = next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None)
    if foreign:
        raise UsageError(
            f"{where}, line {foreign.lineno}: a prompt stands alone, it cannot take in another template. Put the text"
            " here, or build the prompt in a function."
        )
    _refuse_hidden_roles(tree, where, None)


def _refuse_hidden_roles(node: nodes.Node, where: str, hidden_in: nodes.Node | None) -> None:
    """Refuse a role inside what Jinja renders into one string (a macro, a filter block): it would become text."""
    from jinja2 import nodes

    if isinstance(node, nodes.EnvironmentAttribute) and hidden_in:
        raise UsageError(
            f"{where}, line {node.lineno}: a role stands inside the {type(hidden_in).__name__} of line"
            f" {hidden_in.lineno}. It may stand inside if, for and with; put it outside of anything else."
        )
    streams = isinstance(node, nodes.Template | nodes.Output | nodes.If | nodes.With | nodes.Expr)
    if not hidden_in and not streams and not (isinstance(node, nodes.For) and not node.recursive):
        hidden_in = node
    for child in node.iter_child_nodes():
        _refuse_hidden_roles(child, where, hidden_in)


def _optional(tree: nodes.Template) -> frozenset[str]:
    """Variables that may be missing by the template itself: `x is defined`, `x | default("…")`."""
    from jinja2 import nodes

    tests = [test.node for test in tree.find_all(nodes.Test) if test.name in ("defined", "undefined")]
    filters = [each.node for each in tree.find_all(nodes.Filter) if each.name in ("default", "d")]
    return frozenset(node.name for node in (*tests, *filters) if isinstance(node, nodes.Name))


def _environment(lines: list[str], *, strict_roles: bool) -> Environment:
    """A sandbox for one template, with the template's lines."""
    from jinja2 import StrictUndefined

    sandbox, extension = _jinja_types()
    environment: Environment = sandbox(
        undefined=StrictUndefined, autoescape=False, finalize=_as_text, extensions=[extension], cache_size=0
    )
    cast(Any, environment.extensions[extension.identifier]).read_from(lines, strict_roles)
    environment.filters["tojson"] = to_json
    del environment.globals["lipsum"]
    return environment


@cache
def _jinja_types() -> tuple[Any, Any]:
    """Subclasses of Jinja's classes; made when the first template is compiled, since importing Jinja is slow."""
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, jinja_state: Any, operator: str, left: Any, right: Any) -> Any:
            refuse_product(operator, left, right)
            return super().call_binop(jinja_state, operator, left, right)

        def getattr(self, obj: Any, attribute: str) -> Any:
            """`invoice.items` is the invoice's field where it has one, and not the method of a dict."""
            return obj[attribute] if isinstance(obj, dict) and attribute in obj else super().getattr(obj, attribute)

    for role in ROLES:
        setattr(Sandbox, f"role_{role}", RoleMark(role))

    class RoleLines(Extension):
        tags = {_ROLE_TAG}  # noqa: RUF012 - the base class annotates it so

        def read_from(self, lines: list[str], strict: bool) -> None:
            self.lines, self.strict = lines, strict

        def filter_stream(self, stream: Any) -> Any:
            return _with_role_tags(stream, self.lines, strict=self.strict)

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            role = parser.stream.expect("string").value
            return nodes.Output([nodes.EnvironmentAttribute(f"role_{role}", lineno=line)], lineno=line)

    return Sandbox, RoleLines


def refuse_product(operator: str, left: Json, right: Json) -> None:
    """Refuse `*` and `**` that fill the memory in one step; loops are bounded by the sandbox and the maximum of characters."""
    lengths = (_length_of_product(left, right), _length_of_product(right, left))
    size = _bits_of_power(left, right) if operator == "**" else max(lengths)
    if size > MAX_PRODUCT:
        raise OverflowError(f"{operator} in the template makes something longer than {MAX_PRODUCT:,}")


def _bits_of_power(base: Json, exponent: Json) -> int:
    return base.bit_length() * exponent if isinstance(base, int) and isinstance(exponent, int) else 0


def _length_of_product(long: Json, times: Json) -> int:
    return len(long) * times if isinstance(long, str | list | tuple) and isinstance(times, int) else 0


def _as_text(value: Any) -> Any:
    """The text of `{{ value }}` in the prompt. An undefined value passes, and raises when it becomes text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float | list | tuple | dict):
        return encode(value).decode()
    from jinja2 import Undefined

    if isinstance(value, Undefined):
        return value
    raise TypeError(
        f"the template puts a value of type {type(value).__name__} into the prompt, where text and JSON belong. Call a"
        " method with (), and make a list of what map and select give: {{ lines | map('upper') | list }}"
    )


def to_json(value: Json, indent: int | None = None) -> str:
    """JSON of `value` as it is; Jinja's own filter escapes it for HTML.

    >>> to_json({"a": ["<b>"]})
    '{"a":["<b>"]}'
    >>> print(to_json({"a": ["<b>", {}]}, 2))
    {
      "a": [
        "<b>",
        {}
      ]
    }
    """
    return encode(value).decode() if indent is None else _indented(value, indent, "\n")


def _indented(value: Json, indent: int, newline: str) -> str:
    inner = newline + " " * indent
    if isinstance(value, dict) and value:
        rows = [f"{encode(key).decode()}: {_indented(item, indent, inner)}" for key, item in value.items()]
        return "{" + inner + ("," + inner).join(rows) + newline + "}"
    if isinstance(value, list | tuple) and value:
        rows = [_indented(item, indent, inner) for item in value]
        return "[" + inner + ("," + inner).join(rows) + newline + "]"
    return encode(value).decode()
