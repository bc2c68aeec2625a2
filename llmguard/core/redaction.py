"""Secrets out of text, before it is digested, logged, shown or sent on.

Twelve shapes of keys, in plain text and in text inside encoded JSON, where quotes and newlines are escaped once or
more. A secret becomes `[redacted:<shape>]`; everything around it stays, so JSON stays JSON, and what is redacted once
is not changed by redacting it again.

Most text holds no secret, so cheap questions come first. Nearly every secret is or holds a long word (16 letters,
digits or `_ - + /` in a row): text without one is let go, and so are long words that neither look like a key nor
follow the name of one. The others need an `@` (a password in a URL), a `=` (a short `api_key=value`) or a `~`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

LONG_WORD = 16
"""Characters of the shortest key that is recognised; after `api_key=`, where the `=` makes it plain, it is 8."""

_WORD_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/.~"
_TO_WORDS = bytes(97 if byte in _WORD_BYTES else 32 for byte in range(256))
_LONG = b"a" * LONG_WORD
_AWS_SECRET = range(40, 48)
"""Lengths of a word that may be an AWS secret key: its 40 characters, up to 5 of an escape before it, a full stop."""


def redact(text: bytes) -> bytes:
    """`text` without secrets. Linear in its length; about 3 µs for 2 KB of prose, 10 for a reply's body.

    >>> redact(b'{"note": "use \\\\"sk-proj-4f9a8b7c6d5e4f3a2b1c\\\\" today"}')
    b'{"note": "use \\\\"[redacted:openai_key]\\\\" today"}'
    >>> redact(b"the api_key = parameter")
    b'the api_key = parameter'
    """
    for shape in _suspects(text):
        text = shape.redact(text)
    return text


def redact_text(text: str) -> str:
    """`redact` for text that is not encoded yet."""
    before = text.encode("utf-8", "surrogatepass")
    after = redact(before)
    return text if after is before else after.decode("utf-8", "surrogatepass")


def secrets_in(text: bytes) -> tuple[str, ...]:
    """The shapes of the secrets in `text`, each once.

    >>> secrets_in(b"https://ada:lovelace@example.com")
    ('basic_auth',)
    """
    match = dict[str, None]()
    for shape in _suspects(text):
        before, text = text, shape.redact(text)
        if text != before:
            match[shape.name] = None
    return tuple(match)


def _suspects(text: bytes) -> tuple[_Shape, ...]:
    """The shapes to search for; none, for nearly every text."""
    words = text.translate(_TO_WORDS)
    start = words.find(_LONG)
    if start >= 0 and _has_suspicious_word(text, words, start):
        return _SHAPES
    if 61 in text and _has_named_value(text):  # =
        return _SHAPES
    if 64 in text and b":" in text:  # @
        return (_BASIC_AUTH,)
    return ()


def _has_named_value(text: bytes) -> bool:
    """Whether a `=` follows the name of a key."""
    at = text.find(b"=")
    while at >= 0:
        if text[at - 12 if at > 12 else 0 : at].rstrip(_BETWEEN).endswith(_NAMES):
            return True
        at = text.find(b"=", at + 1)
    return False


def _has_suspicious_word(text: bytes, words: bytes, start: int) -> bool:
    """`words` is `text` with spaces between its words, the first long one at `start`."""
    if b"PRIVATE KEY-" in text:
        return True
    while start >= 0:
        end = words.find(b" ", start)
        end = len(words) if end < 0 else end
        before = text[start - 28 if start > 28 else 0 : start].rstrip(_BETWEEN)
        if before.endswith(_NAMES) or end - start in _AWS_SECRET or _PREFIX.search(text, start, end):
            return True
        start = words.find(_LONG, end)
    return False


_NAMES = tuple(
    spelling.encode()
    for name in ("key", "token", "secret", "bearer", "basic")
    for spelling in (name, name.upper(), name.title())
)
"""How the text before a key ends."""

_BETWEEN = b" \t\n\r\"'=:\\>,%b"
"""What is between a name and its key; the `b` is of Python's `b'...'`."""

_PREFIX = re.compile(rb"sk-|A(?:KIA|SIA|Iza)|g(?:h[pousr]_|ithub_pat_)|x(?:ox|app-)|JQQJ99|eyJ|Q~")


@dataclass(frozen=True, slots=True)
class _Shape:
    """A kind of secret. `hints`: one of them is in every text that holds one. The group `keep` of the pattern stands
    before the secret and stays."""

    name: str
    hints: tuple[bytes, ...]
    pattern: str

    def redact(self, text: bytes) -> bytes:
        if any(hint in text for hint in self.hints):
            return _compiled(self.pattern).sub(self._replaced, text)
        return text

    def _replaced(self, match: re.Match[bytes]) -> bytes:
        if self.name == "jwt" and b"." not in match[0]:
            return match[
                0
            ]  # base64 of some JSON, but no token: checked here, because failing in the pattern is quadratic
        return (match.groupdict().get("keep") or b"") + b"[redacted:" + self.name.encode() + b"]"


class _BareShape(_Shape):
    """A secret that has nothing but its length: looked for where there is a word of about this length."""

    __slots__ = ()

    def redact(self, text: bytes) -> bytes:
        words = b" " + text.translate(_TO_WORDS) + b" "
        if any(b" " + b"a" * length + b" " in words for length in _AWS_SECRET):
            return _compiled(self.pattern).sub(self._replaced, text)
        return text


@cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    """On first use: most programs never meet most shapes, and compiling all of them takes milliseconds."""
    return re.compile(pattern.encode())


def _shape(name: str, hints: str, pattern: str) -> _Shape:
    return _Shape(name, tuple(hint.encode() for hint in hints.split("|")), pattern)


# Each pattern is linear: what repeats without bound is possessive and ends the match; all else is bounded. In encoded
# JSON a match begins and ends between characters, never inside an escape, and covers no quote. Patterns begin with a
# literal where they can, which `re` searches ten times as fast: what must not precede it is checked afterwards.

_FREE = r"(?:(?<![A-Za-z0-9/+_.\\-])|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4}))"
"""Where a word begins that has no literal of its own."""


def _begin(prefix: str) -> str:
    """`prefix`, where no letter or digit precedes it, or only those of an escape: \\n, \\u00e4."""
    return rf"{prefix}(?:(?<![A-Za-z0-9]{prefix})|(?<=\\[nrtbf]{prefix})|(?<=\\u[0-9A-Fa-f]{{4}}{prefix}))"


def _names(*names: str) -> str:
    """`names` in small letters, capitals or with capital initials, joined by nothing, a space, `_` or `-`."""
    return "(?:" + "|".join(way for name in names for way in _ways(name.split())) + ")"


def _ways(words: list[str]) -> list[str]:
    rest = "".join(f"[ _-]?(?:{word}|{word.upper()}|{word.title()})" for word in words[1:])
    return [first + rest for first in (words[0], words[0].upper(), words[0].title())]


_QUOTE = r"""\\{0,7}["']"""
_ASSIGNED = (
    # A name in quotes needs a value in quotes: a bare number after the key of a JSON object cannot become text.
    rf"(?:(?P<named>{_QUOTE})?\s{{0,8}}(?:=>|:=|[=:]|%3D|\\{{1,4}}u003d)\s{{0,8}}(?(named){_QUOTE}|(?:{_QUOTE})?)"
    # As Python shows the pairs of headers: ('api-key', 'abc'), (b'api-key', b'abc').
    r"|'\s?,\s?b?')"
)
# Words of prose have no digit; a value without one has to be long.
_WITH_DIGIT = r"(?=[A-Za-z_.+/=~%-]{0,64}[0-9])[A-Za-z0-9_.+/=~%-]"
_VALUE = rf"(?:{_WITH_DIGIT}{{8,}}+|[A-Za-z0-9_+=-]{{16,}}+)"
_LONG_VALUE = rf"(?:{_WITH_DIGIT}{{16,}}+|[A-Za-z0-9_+=-]{{24,}}+)"
_USER = r"""(?:[^\s/:@"'\\<>\[\]?#]|\\u[0-9A-Fa-f]{4}){0,256}+"""
_PASSWORD = r"""(?:[^\s/@"'\\<>\[\]?#]|\\u[0-9A-Fa-f]{4}){1,256}+"""  # noqa: S105

_BASIC_AUTH = _shape(
    "basic_auth",
    "@",
    rf"(?P<keep>:(?:\\{{0,4}}/){{2}}){_USER}:{_PASSWORD}(?:@{_PASSWORD}(?=@)){{0,4}}(?=@)",
)
_API_KEY = _shape(
    "api_key",
    "ey|EY|oken|OKEN|ecret|ECRET",
    "(?P<keep>"
    + _names("api key", "subscription key", "account key", "access token", "auth token", "client secret")
    + rf"{_ASSIGNED}){_VALUE}",
)
_SHAPES = (
    _shape(
        "private_key",
        "PRIVATE KEY",
        # The second way is for a key that was cut off: only what looks like base64 belongs to it.
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
        r"(?:(?:[A-Za-z0-9+/=:,. \t\r\n]|-(?!----)|\\+[nrt])*+-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
        r"|(?:[ \t\r\n]|\\+[nrt]|[A-Za-z0-9+/=]{16,}+)*+)",
    ),
    _shape("jwt", "eyJ", _begin("eyJ") + r"[A-Za-z0-9_-]{13,}+(?:\.{1,2}[A-Za-z0-9_-]++){0,4}"),
    _shape("anthropic_key", "sk-ant-", _begin("sk-ant-") + "[A-Za-z0-9_-]{12,}+"),
    _shape(
        "openai_key",
        "sk-",
        _begin("sk-") + r"(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{12,}+|[A-Za-z0-9]{20,}+[A-Za-z0-9_-]*+"
        r"|(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{16,}+)",
    ),
    _shape("aws_access_key", "AKIA|ASIA", _begin("A[KS]IA") + "[A-Z0-9]{16,}+[A-Za-z0-9_-]*+"),
    _shape("github_token", "ghp_|gho_|ghu_|ghs_|ghr_", _begin("gh[pousr]_") + "[A-Za-z0-9]{20,}+"),
    _shape("github_token", "github_pat_", _begin("github_pat_") + "[A-Za-z0-9_]{20,}+"),
    _shape("slack_token", "xox", _begin("xox[a-z]-") + "[A-Za-z0-9-]{12,}+"),
    _shape("slack_token", "xapp-", _begin("xapp-") + "[A-Za-z0-9-]{12,}+"),
    _shape("google_key", "AIza", _begin("AIza") + "[A-Za-z0-9_-]{30,}+"),
    # Storage: 64 bytes in base64. Cognitive Services since 2024: 84 characters with this signature. Entra: a `Q~`.
    _shape("azure_key", "AccountKey=", "(?P<keep>AccountKey=)[A-Za-z0-9+/]{40,}+={0,2}"),
    _shape("azure_key", "SharedAccessKey=", "(?P<keep>SharedAccessKey=)[A-Za-z0-9+/]{40,}+={0,2}"),
    _shape("azure_key", "JQQJ99", _FREE + "[A-Za-z0-9]{20,64}?JQQJ99[A-Za-z0-9]{20,}+"),
    _shape("azure_key", "Q~", _FREE + "[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,}+"),
    _BASIC_AUTH,
    _shape(
        "bearer_token",
        "earer|EARER|asic |ASIC ",
        rf"(?P<keep>(?:{_names('bearer')}|{_names('authorization')}{_ASSIGNED}{_names('basic')})[ \t]{{1,4}})"
        + _LONG_VALUE,
    ),
    _API_KEY,
    _shape(
        "aws_secret_key",
        "ecret|ECRET",
        rf"(?P<keep>{_names('secret key', 'secret access key')}{_ASSIGNED}){_VALUE}",
    ),
    # 40 characters of base64 with both cases and a digit, which are not the path of a file.
    _BareShape(
        "aws_secret_key",
        (),
        _FREE + r"(?=[a-z0-9/+]{0,39}[A-Z])(?=[A-Z0-9/+]{0,39}[a-z])(?=[A-Za-z/+]{0,39}[0-9])"
        r"(?!(?:[A-Za-z0-9+]{0,39}/){4})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])",
    ),
)
