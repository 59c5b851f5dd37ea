"""Redaction takes time linear in the length of the text: told from how the patterns are built, not by a clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from security import redaction
from security.redaction import redact

# The parser of `re` itself; it has no public name. (mypy sees one or not, by what else it has read.)
_parser: Any = import_module("re._parser")

Item = tuple[Any, Any]

MOST_REPEATS = 32768
CLASSES = {"IN", "LITERAL", "NOT_LITERAL", "ANY"}
REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
LOOKS = {"AT", "ASSERT", "ASSERT_NOT"}  # they read nothing away


def parsed(pattern: str, flags: int = 0) -> list[Item]:
    return list(_parser.parse(pattern, flags))


def branches(item: Item) -> list[list[Item]]:
    """Return what a group may hold, a list for each of its alternatives; nothing for what is no group."""
    op, value = str(item[0]), item[1]
    if op == "SUBPATTERN":
        return [list(value[-1])]
    return [list(branch) for branch in value[1]] if op == "BRANCH" else []


def can_fail(items: list[Item]) -> bool:
    """Tell whether there is a text on which these do not match."""
    return any(_can_fail(item) for item in items)


def _can_fail(item: Item) -> bool:
    if str(item[0]) in REPEATS:
        return bool(item[1][0] > 0)
    return all(can_fail(branch) for branch in branches(item))


def anchored(items: list[Item]) -> bool:
    """Tell whether the first that is read is one character, not a run of them."""
    for item in items:
        inner = branches(item)
        if str(item[0]) in LOOKS or (inner and all(str(part[0]) in LOOKS for branch in inner for part in branch)):
            continue
        return all(anchored(branch) for branch in inner) if inner else str(item[0]) in CLASSES
    return False


def reread(items: list[Item], *, fails_after: bool = False) -> Iterator[str]:
    """Yield the repeats that may read much, give it up, and read it again from the next place."""
    for index, item in enumerate(items):
        after = fails_after or can_fail(items[index + 1 :])
        if str(item[0]) in REPEATS:
            yield from _reread_by_repeat(item, after)
        inner = branches(item)
        for branch in inner:
            if branch is inner[-1] or not _keeps(inner[-1], branch):
                yield from reread(branch, fails_after=after)


def _reread_by_repeat(item: Item, after: bool) -> Iterator[str]:
    least, most, body = item[1]
    body = list(body)
    single = len(body) == 1 and str(body[0][0]) in CLASSES
    if after and most > (MOST_REPEATS if single else 1):
        yield f"{item[0]} {{{least},{most}}} of {body} with what may fail behind it"
    if not single:
        yield from reread(body, fails_after=after)


def _keeps(last: list[Item], branch: list[Item]) -> bool:
    """Tell whether the last alternative takes what an earlier one has read up to its end for nothing."""
    while len(branch) == 1 and branches(branch[0]):
        branch = branches(branch[0])[0]
    return not can_fail(last) and str(last) == str(branch[:-1])


PATTERNS = [kind.pattern for kind in redaction._KINDS] + [redaction._SECRET_NAME, redaction._PLAIN_NAME]


@pytest.mark.parametrize("pattern", PATTERNS, ids=range(len(PATTERNS)))
def test_no_pattern_reads_a_text_again_and_again(pattern: re.Pattern[str]) -> None:
    items = parsed(pattern.pattern, pattern.flags)
    assert anchored(items)
    assert list(reread(items)) == []


@pytest.mark.parametrize(
    "pattern", [r"a[^b]*b", r"a(?:b+)+c", r"a(?:b*c)*", r"a(?:b*|c)d", r"a(?:(b*)c|d*)", r"a(?:bc){0,9}d"]
)
def test_a_pattern_that_would_is_found(pattern: str) -> None:
    assert list(reread(parsed(pattern)))


@pytest.mark.parametrize("pattern", [r"\s*a", r"(?:a|b*)c", r"(?<=a)b*"])
def test_a_pattern_that_begins_with_a_run_is_found(pattern: str) -> None:
    assert not anchored(parsed(pattern))


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "://u:",
            "://u:'",
            "-----BEGIN PRIVATE KEY-----",
            "password=",
            "password='\\",
            'token:"',
            'token:\\"\\\\',
            "-eyJ",
            "-eyJa.",
        ),
        *(
            "--password ",
            "--password 'a",
            "curl -u a",
            "curl -u a:b ",
            "db_pass=",
            "<password>",
            "<token>a",
            "<token ",
            "--",
        ),
        *("authorization:", "authorization: a", "cookie:a", 'cookie:a="', "bearer ", "basic a", "sk-a", "password: a "),
    ],
)
def test_hostile_texts_are_read_to_their_end(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    assert "hunter22" not in redact(text + "\n\"'\nAPI_KEY=hunter22")
