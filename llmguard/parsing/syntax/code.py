"""Whether a value in code is what the code ends with: it is not, where what follows changes it."""

from __future__ import annotations

from re import MULTILINE, escape

from llmguard.core.patterns import Pattern

NEAR = 4_000
"""Characters after a value that are searched for uses of its name. Code in a reply is shorter."""

_ASSIGNED = Pattern(
    r"(?:^|[\s;({,])\$?([A-Za-z_][\w$.]{0,60})\s{0,20}(?::\s?[^=\n]{1,60})?(?::=|=)\s{0,20}"
    r"(?:(?:await|new)\s)?(?:[A-Za-z_][\w.]{0,40}\(|\()?\s?[rbf]?(?:['\"`]{3}|['\"`])?\s*\Z"
)
_USED_AT_ONCE = Pattern(r"\s*+['\"`]{0,3}\)?(?:\.[A-Za-z_]\w*+\s*+\(|\[[\"'])")
_COMPUTED = Pattern(r"[ \t]*+(?:[-+*/|&%^]|<<|>>)[ \t]*+[\w({\[\"'$]|\[")
_SHOWN_BEFORE = Pattern(
    r"(?:\b(?:return|yield|export default|echo|puts)\s+|\b(?:print|pprint|printf|println|echo|log|info|dump|dumps|stringify|write"
    r"|send|json|display|submit|render)\(\s*)\Z"
)
_SHOWN_AFTER = Pattern(r"\s*+(?:[),;]|\n|\Z)")
_SHOWS = Pattern(
    r"^[ \t]*+(?:(?:return|yield|export default)[ \t]+[A-Za-z_][\w.]{0,60}+|(?:[A-Za-z_]\w*+\.)?(?:print|pprint|log|dump|display"
    r"|write)\((?:[\w.]{1,40}+\()?[A-Za-z_][\w.]{0,60}+(?:,\s*(?:indent\s*=\s*|null,\s*)?[0-9])?\){1,2}+)[ \t]*+;?[ \t]*+$",
    MULTILINE,
)
_USED = r"(?<![\w.]){name}(?![\w$])(?=\s*+(?:\[|\.\s*+[A-Za-z_]|=(?!=)|[-+*/|&^%?]{{1,2}}=|\+\+|--|[),|]))"
_DELETED = r"(?:\bdel|\bdelete|\*\*|\.\.\.)\s*+{name}(?![\w$])"


def is_changed_by_code(text: str, start: int, end: int) -> bool:
    """Whether the value from `start` to `end` is given a name that later code uses, except to show it; or is used at once.

    >>> code = 'r = {"total": 20}\\nr["total"] = 25'
    >>> is_changed_by_code(code, 4, 17), is_changed_by_code('r = {"total": 20}\\nprint(r)', 4, 17)
    (True, False)
    """
    if _USED_AT_ONCE.match(text, end):
        return True
    line = text[max(text.rfind("\n", 0, start) + 1, start - 200) : start]
    assigned = _ASSIGNED.search(line)
    if not assigned:
        return False
    if _COMPUTED.match(text, end):
        return True
    name, after = escape(assigned[1]), text[end : end + NEAR]
    if Pattern(_DELETED.format(name=name)).search(after):
        return True
    for use in Pattern(_USED.format(name=name)).finditer(after):
        is_shown = _SHOWN_BEFORE.search(after[max(0, use.start() - 40) : use.start()])
        if not (is_shown and _SHOWN_AFTER.match(after, use.end())):
            return True
    return False


def without_showing(text: str) -> str:
    """The text without lines of code that only print or return a name.

    >>> without_showing("\\nprint(json.dumps(result, indent=2))\\nDone.")
    '\\n\\nDone.'
    """
    return _SHOWS.sub("", text) if "(" in text or "return" in text or "yield" in text else text
