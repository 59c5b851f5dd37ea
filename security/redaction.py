"""Take secrets out of text and data on their way to a log, an event, a prompt or a browser.

A pattern is tried only where one of its literals stands in the text. Each begins with a literal and repeats over one
character class with an upper bound, or without one where nothing behind can fail, so that what was read is never read
again. Thus the time is linear in the length of the text whatever the text is.

What is masked once more stays as it is: the order of `_KINDS` is chosen so that no mask makes a secret of what stands
around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

MASK = "[redacted]"


class _Kind(NamedTuple):
    """One kind of secret: what must stand in the text in small letters, how it looks, what is left of it."""

    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    left: str | Callable[[re.Match[str]], str]


_PASSWORD = r"(?:passwd|password|passphrase)"
_WORD = r"(?:api[_-]?key|secret(?:[_-]?key)?|(?:access|account|private)[_-]?key|token|passwd|password|passphrase|credential)"
_WORDS = ("key", "secret", "token", "passw", "passphrase", "credential")
_HEADERS = ("authorization", "cookie")

# With its -----END line, or as far as a key can reach where that is cut off.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[\s\S]{0,32768}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|[\s\S]{0,32768})"
)

# "name": "value", NAME='value', environ["NAME"] = "value", and JSON inside a string: {\"name\": \"value\"}.
# The value runs to its closing quote, or to the end: there is nothing behind it that could fail.
_QUOTED = re.compile(
    rf"""(?ix)
    ( (?:{_WORD}|authorization|cookie) \\{{0,3}}["']?\]? \s{{0,4}}(?:[:=]{{1,3}}>?)\s{{0,4}}[$bfru]{{0,2}} )
    (?! \\?["'][\w.-]{{0,64}}{_WORD}\\?["']\s{{0,4}}: )    # the next name, where the value is missing
    (?: ( \"\"\" | "(?=[^"]) )   [^"\\]*(?:\\[\s\S][^"\\]*)*
      | ( \'\'\' | '(?=[^']) )   [^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*
      | ( \\" (?!\\?") )         [^"\\]*(?:\\(?:\\\\"|[^"])[^"\\]*)*
    )
    """
)

# scheme://user:password@host. The password may hold '@', '/' and a quote that does not close what stands around.
# What begins like a port is none; where no '@' follows, what was read is kept as it is.
_CLOSING = r"""[\s,:;}\])\[<>]|\Z"""
_URL_PASSWORD = re.compile(
    rf"""(?x)
    ( ://[^\s:/@\[\]"'<>]{{0,128}}: ) (?!\d{{1,5}}(?:[/?\#"'.`\\]|{_CLOSING}))
    (?: ( [^\s"']*(?:["'](?!{_CLOSING})[^\s"']*)*@ ) | [^\s"']*(?:["'](?!{_CLOSING})[^\s"']*)* )
    """
)

# Cookie: a=b; c="d". Without a first name=value it is a word of prose.
_COOKIE = re.compile(
    r"""(?ix) ( cookie[ \t]{0,4}:[ \t]{0,4} )
    [^\s"'=;,:\[]{1,256}=[^\r\n"']*(?:(?<==)"[^"\r\n]*"?[^\r\n"']*)*
    """
)

_FIRST = r"""[^\s"',;}\]\[{(]"""
# A quote in the middle of a word does not end the value.
_REST = r"""[^\s"',;}\]\[{(]*(?:["'](?=\w)[^\s"',;}\]\[{(]*)*"""

# What may stand between a name and its token.
_CARRIER = r"(?:bearer|basic|token)[ \t]{1,4}"
# What is no value: words that say there is none, an operator, what stands before a quote, and what is dealt with apart.
_NONE = rf"""(?!
    [=>] | (?:none|null|nil|true|false|undefined)(?:[\s"',;)}}\]]|\Z) | [$bfru]{{1,2}}["']
    | authorization[ \t]{{0,4}}[:=] | {_CARRIER}(?:\[redacted\]|{_FIRST}{{6}})
)"""

# NAME=value, name: value. A short value counts only under a password, behind '=' or alone to the end of the line.
_BARE = re.compile(
    rf"""(?ix)
      ( {_WORD}["']?\s{{0,4}}[:=]\s{{0,4}}{_CARRIER} ) {_FIRST}{{6}}{_REST}
    | ( {_PASSWORD}["']?= ) {_NONE} [^\s"']+(?:["'](?=\w)[^\s"']*)*
    | ( {_PASSWORD}["']?\s{{0,4}}=\s{{0,4}} ) {_NONE} {_FIRST}{_REST}
    | ( {_PASSWORD}["']?[ \t]{{0,4}}:[ \t]{{0,4}} ) {_NONE} {_FIRST}{{1,5}}(?=[ \t]{{0,4}}(?:[\r\n]|\Z))
    | ( {_WORD}["']?\s{{0,4}}[:=]\s{{0,4}} ) (?!:) {_NONE} {_FIRST}{{6}}{_REST}
    """
)

# DB_PASS=value, MYSQL_PWD: value. In small letters only where the first word makes it a password: what passes is none.
_SHORT_NAME = r"(?:(?-i:_PASS|_PWD)|(?:db|user|mail|smtp|mysql|pg|ftp|ssh|admin|root)_(?:pass|pwd)|rediscli_auth)"
_SHORT = re.compile(
    rf"""(?ix)
    ( {_SHORT_NAME} \\{{0,3}}["']?\]? \s{{0,4}}[:=]\s{{0,4}} ) (?!:) {_NONE}
    (?: ( " ) [^"\\]*(?:\\[\s\S][^"\\]*)* | ( ' ) [^'\\]*(?:\\[\s\S][^'\\]*)* | ( \\" ) [^"\\]* | {_FIRST}{_REST} )
    """
)

# --password value, "--token", "value". What follows an option that is spoken of is no value.
_SPOKEN_OF = r"(?:option|flag|argument|parameter|switch|is|was|and|or|to|from|with|in|on|for|as|if|the|a|an)"
_OPTION = re.compile(
    rf"""(?ix)
    ( --(?!no-)[\w-]{{0,64}}(?:{_WORD}|(?<=-)pass) (?: [ \t]{{1,4}} | (?:\\?["']),\s{{0,4}} ) ) (?!\\?["']?- | {_SPOKEN_OF}(?:[\s.,;:)]|\Z))
    (?: ( " ) [^"\\]*(?:\\[\s\S][^"\\]*)* | ( ' ) [^'\\]*(?:\\[\s\S][^'\\]*)* | ( \\" ) [^"\\]* | {_FIRST}{_REST} )
    """
)

# curl -u user:password
_CURL_USER = re.compile(
    r"""(?x)
    ( (?<![\w-]) (?: -[A-Za-z\#]{0,8}[uU][ \t]{0,4} | --(?:proxy-)?user(?:[ \t]{1,4}|=) ) )
    (?: ( ["'][^\s"':]{1,256}: ) [^\r\n"']+ | ( [^\s"':]{1,256}: ) (?![/\s\[]) [^\s"']+ )
    """
)

# <password>value</password>
_ELEMENT = re.compile(
    rf"""(?ix)
    ( < [\w:.-]{{0,64}}{_WORD} (?:\s[^<>]{{0,256}})? > (?:\s{{0,64}}<!\[CDATA\[)? ) [^<]{{1,16384}} (?=</)
    """
)

# Authorization: Scheme credentials. Of a scheme nobody knows we mask what cannot be prose: what holds a digit, what
# stands alone on its line or is longer than any word, parameters.
_SCHEME = r"(?:bearer|basic|token|digest|negotiate|ntlm|api-?key|apitoken|key|jwt|oauth|hawk|dpop|signature|sharedkey|aws4-hmac-sha256)"
_UNMASKED = r"(?![\w-]{1,40}[ \t]{1,4}\[redacted\])"
_AUTHORIZATION = re.compile(
    rf"""(?ix)
    ( authorization[ \t]{{0,4}}[:=][ \t]{{0,4}} )
    (?: ( [\w-]{{1,40}}[ \t]{{1,4}} ) (?=[\w-]{{1,40}}="?[^\s"=]) [^\r\n]*
      | ( {_SCHEME}[ \t]{{1,4}} ) [\w.~+/=-][^\s"']*
      | {_UNMASKED} ( [\w-]{{1,40}}[ \t]{{1,4}} )? (?=[^\s"']{{0,256}}\d) [\w.~+/=-][^\s"']{{7,}}
      | {_UNMASKED} ( [\w-]{{1,40}}[ \t]{{1,4}} )? [\w.~+/=-][^\s"']{{0,256}}+(?=[^\s"']|[ \t]{{0,4}}(?:["'\r\n]|\Z))[^\s"']*
    )
    """
)
# Credentials of these two also without their header; "basic" must look like base64, to be no plain word.
_BEARER = re.compile(r"(?i)(bearer\s{1,4})[a-z0-9+/=._~-]{8,}")
_BASIC = re.compile(
    r"([Bb][Aa][Ss][Ii][Cc]\s{1,4})(?=[A-Za-z0-9+/=._~-][a-z._~-]{0,64}[A-Z0-9+/=])[A-Za-z0-9+/=._~-]{8,}"
)

# Where a word starts, also behind a line break that is written as an escape.
_START = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))"
# Three to five parts. The head is kept where the others do not follow.
_JSON_WEB_TOKEN = re.compile(
    _START + r"eyJ[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]{0,16384}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,2})?"
)


def _shape(pattern: str, *anchors: str) -> _Kind:
    return _Kind(anchors, re.compile(pattern), MASK)


# Those that must start a word come last: what is masked before them starts one.
_KINDS = (
    _Kind(("private key",), _PRIVATE_KEY, MASK),
    _Kind(_WORDS + _HEADERS, _QUOTED, rf"\1\2\3\4{MASK}"),
    _Kind(("://",), _URL_PASSWORD, lambda found: f"{found[1]}{MASK}@" if found[2] else found[0]),
    _Kind(("cookie",), _COOKIE, rf"\1{MASK}"),
    _Kind(_WORDS, _BARE, rf"\1\2\3\4\5{MASK}"),
    _Kind(("_pass", "_pwd", "_auth"), _SHORT, rf"\1\2\3\4{MASK}"),
    _Kind(("--",), _OPTION, rf"\1\2\3\4{MASK}"),
    _Kind(("curl",), _CURL_USER, rf"\1\2\3{MASK}"),
    _Kind(("</",), _ELEMENT, rf"\1{MASK}"),
    _Kind(("authorization",), _AUTHORIZATION, rf"\1\2\3\4\5{MASK}"),
    _Kind(("bearer",), _BEARER, rf"\1{MASK}"),
    _Kind(("basic",), _BASIC, rf"\1{MASK}"),
    _shape(r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{8,}", "hooks.slack.com"),
    _shape(r"xox[abeposr][.-][A-Za-z0-9.-]{10,}", "xox"),  # Slack
    _shape(r"gh[opusr]_[A-Za-z0-9]{20,}", "gh"),  # GitHub
    _shape(r"github_pat_[A-Za-z0-9_]{20,}", "github_pat_"),
    _shape(r"glpat-[A-Za-z0-9_-]{16,}", "glpat-"),  # GitLab
    _shape(r"(?:AKIA|ASIA)[A-Z0-9]{16,}", "akia", "asia"),  # AWS
    _shape(r"AIza[A-Za-z0-9_-]{30,}", "aiza"),  # Google
    _shape(r"hf_[A-Za-z0-9]{20,}", "hf_"),  # Hugging Face
    _shape(r"npm_[A-Za-z0-9]{30,}", "npm_"),
    _shape(r"pypi-[A-Za-z0-9_-]{50,}", "pypi-"),
    _shape(r"sk-ant-[A-Za-z0-9_-]{16,}", "sk-ant-"),  # Anthropic, wherever it stands
    _Kind(("eyj",), _JSON_WEB_TOKEN, lambda found: MASK if found[1] else found[0]),
    _shape(_START + r"[rs]k_live_[A-Za-z0-9]{16,}", "k_live_"),  # Stripe
    _shape(_START + r"bbb_[A-Za-z0-9_-]{16,}", "bbb_"),  # our own API and run tokens
    _shape(_START + r"sk-[A-Za-z0-9_-]{16,}", "sk-"),  # OpenAI and its kin
)

# One word shorter than this has none of the shapes above.
_SHORTEST_WORD = 20

_SECRET_NAME = re.compile(rf"(?i)(?:{_WORD}|authorization|cookie|{_SHORT_NAME})$")
# What ends like a secret and is none: counters of the usage ledger.
_PLAIN_NAME = re.compile(r"(?i)^(?:max_|min_|input_|output_|cache_|total_|idempotency_)")
# What stays whatever its name is.
_COUNTS = frozenset({int, float, bool, type(None)})
# {"name": "API_KEY", "value": …}, as containers and archives of HTTP write them.
_PAIRS = {"value": ("name", "key"), "Value": ("Name", "Key")}


def redact(text: str) -> str:
    """Return the text with everything that looks like a secret masked."""
    if not text or (len(text) < _SHORTEST_WORD and text.isidentifier()):
        return text  # statuses, names of fields: most of what is recorded
    small = text.lower()
    for anchors, pattern, left in _KINDS:
        for anchor in anchors:
            if anchor in small:
                text = pattern.sub(left, text)
                break
    return text


def redact_data(value: Any) -> Any:
    """Return a copy of JSON-like data with each string redacted, and all that stands under secret names masked.

    Numbers, booleans and None stay: counters are called like secrets.
    """
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        masked = {_key(name): item if type(item) in _COUNTS else _named(name, item) for name, item in value.items()}
        return _without_pairs(masked) if "value" in masked or "Value" in masked else masked
    if isinstance(value, list | tuple):
        return _without_arguments([redact_data(item) for item in value])
    return value


def _without_arguments(items: list[Any]) -> list[Any]:
    """Mask what follows an option with a secret name, as in the arguments of a command."""
    for place, option in enumerate(items[:-1], start=1):
        if isinstance(option, str) and option[:2] == "--" and _is_secret_name(option):
            follows = items[place]
            if isinstance(follows, str) and not follows.startswith("-"):
                items[place] = _masked(follows)
    return items


def _named(name: Any, item: Any) -> Any:
    if item is None or isinstance(item, int | float):
        return item
    if isinstance(name, str) and _is_secret_name(name):
        return _masked(item)
    return redact(item) if isinstance(item, str) else redact_data(item)


def _without_pairs(data: dict[Any, Any]) -> dict[Any, Any]:
    for value in _PAIRS.keys() & data.keys():
        if any(isinstance(data.get(name), str) and _is_secret_name(data[name]) for name in _PAIRS[value]):
            data[value] = _masked(data[value])
    return data


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(name): _masked(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value if not value or isinstance(value, int | float) else MASK


@lru_cache(maxsize=1024, typed=True)
def _key(name: Any) -> Any:
    return redact(name) if isinstance(name, str) else name


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None and _PLAIN_NAME.match(name) is None
