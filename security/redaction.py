"""Take secrets out of text and data on their way to a log, an event, a prompt or a browser.

Every pattern is anchored by a literal and repeats only over one character class with an upper bound, so the
time is linear in the length of the text whatever the text is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

MASK = "[redacted]"

_SECRET_WORD = r"(?:api[_-]?key|secret(?:[_-]?key)?|access[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|token|passwd|password|passphrase|credential)"

# Whole secrets, known by their shape.
_SHAPES = re.compile(
    r"""
    -----BEGIN\ [A-Z ]{0,40}PRIVATE\ KEY-----[^-]{0,20000}(?:-----END\ [A-Z ]{0,40}PRIVATE\ KEY-----)?
    | \bsk-[A-Za-z0-9_-]{16,512}                      # Anthropic, OpenAI and their kin
    | \bbbb_[A-Za-z0-9_-]{16,512}                     # our own API and run tokens
    | \bgh[pousr]_[A-Za-z0-9]{20,255}                 # GitHub
    | \bgithub_pat_[A-Za-z0-9_]{20,255}
    | \bglpat-[A-Za-z0-9_-]{16,255}                   # GitLab
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                   # AWS
    | \bxox[abposr]-[A-Za-z0-9-]{10,255}              # Slack
    | \bAIza[A-Za-z0-9_-]{30,100}                     # Google
    | \b[sr]k_live_[A-Za-z0-9]{16,255}                # Stripe
    | \bnpm_[A-Za-z0-9]{30,100}
    | \bpypi-[A-Za-z0-9_-]{50,512}
    | \beyJ[A-Za-z0-9_-]{10,4096}\.[A-Za-z0-9_-]{4,8192}\.[A-Za-z0-9_-]{4,1024}   # JSON Web Token
    """,
    re.VERBOSE,
)
# scheme://user:password@host
_URL_PASSWORD = re.compile(r"(://[^\s:/@]{0,128}:)([^\s/@]{1,512})(@)")
# Authorization: Bearer xyz
_HEADER = re.compile(r"(?i)(\b(?:bearer|basic)\s{1,4})([A-Za-z0-9+/=._~-]{8,4096})")
# name = value, "name": "value", NAME=value
_ASSIGNED = re.compile(
    rf"""(?i)({_SECRET_WORD}["']?\s{{0,4}}[:=]\s{{0,4}}["']?)([^\s"',;}}\]\[{{(]{{6,4096}})""",
)
_SECRET_NAME = re.compile(rf"(?i){_SECRET_WORD}$")
# What ends like a secret and is none: counters of the usage ledger.
_PLAIN_NAME = re.compile(r"(?i)^(?:max_|min_|input_|output_|cache_|total_|idempotency_)")


# One word shorter than this has none of the shapes above.
_SHORTEST_WORD = 20


def redact(text: str) -> str:
    """Return the text with everything that looks like a secret masked."""
    if not text or (len(text) < _SHORTEST_WORD and text.isidentifier()):
        return text  # statuses, names of fields: most of what is recorded
    text = _SHAPES.sub(MASK, text)
    text = _URL_PASSWORD.sub(rf"\1{MASK}\3", text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    return _ASSIGNED.sub(rf"\1{MASK}", text)


def redact_data(value: Any) -> Any:
    """Return a copy of JSON-like data with each string redacted, and values under secret names masked whole."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {_key(name): _named(name, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_data(item) for item in value]
    return value


def _named(name: Any, item: Any) -> Any:
    if not isinstance(item, str):
        return item if item is None or isinstance(item, int | float) else redact_data(item)
    return MASK if item and isinstance(name, str) and _is_secret_name(name) else redact(item)


@lru_cache(maxsize=1024, typed=True)
def _key(name: Any) -> Any:
    return redact(name) if isinstance(name, str) else name


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None and _PLAIN_NAME.match(name) is None
