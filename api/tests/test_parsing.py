from __future__ import annotations

import io
from typing import Any

import pytest
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from api.parsing import BodyTooLarge, BoundedJSONParser


def parsed(text: bytes, media_type: str = "application/json", **headers: str) -> Any:
    request = APIRequestFactory().post("/", text, content_type=media_type, headers=headers)
    return Request(request, parsers=[BoundedJSONParser()]).data


def refusal(text: bytes, media_type: str = "application/json", **headers: str) -> APIException:
    with pytest.raises(APIException) as refused:
        parsed(text, media_type, **headers)
    return refused.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (rb'{"a": "\ud83d\udc1d"}', {"a": "🐝"}),
        (b" [] \n", []),
        (b'{"a": {"b": 1}, "b": {"b": 2}}', {"a": {"b": 1}, "b": {"b": 2}}),
        (b'{"a": -0.0, "b": 1e308}', {"a": -0.0, "b": 1e308}),
    ],
)
def test_json_is_read(text: bytes, value: Any) -> None:
    assert parsed(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"nonsense",
        b" ",
        b"{} {}",
        b"{}\x00",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": -1e999}',
        b"1" * 5000,
        b'{"a": 01}',
        b'\xef\xbb\xbf{"a": 1}',
        b"\xff\xfe{}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xe9"}',
        rb'{"a": "\ud800"}',
        rb'{"\uDC00": 1}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": [{"c": 1, "c": 1}]}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_anything_else_is_malformed(text: bytes) -> None:
    assert isinstance(refusal(text), ParseError)


def test_a_name_given_twice_is_told() -> None:
    assert "'title' is given twice" in str(refusal(b'{"title": "One", "title": "Two"}').detail)


def test_names_without_end_are_looked_at_once() -> None:
    # Comparing each with each would take hours.
    names = b",".join(b'"%d": 1' % number for number in range(100_000))
    assert isinstance(refusal(b'{%s, "99999": 2}' % names), ParseError)


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", 'application/json; charset="UTF-8"'])
def test_utf_8_may_be_named(media_type: str) -> None:
    assert parsed(b'{"a": "\xc3\xa9"}', media_type) == {"a": "é"}


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "utf-8-sig", "zlib", "bz2", "rot13", "idna"])
def test_another_charset_is_refused(charset: str) -> None:
    # Some of them compress: a small body would become a huge one.
    assert isinstance(refusal(b"{}", f"application/json; charset={charset}"), UnsupportedMediaType)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    assert isinstance(refusal(b"{}", **{"Content-Encoding": encoding}), UnsupportedMediaType)


def test_a_body_may_say_that_it_is_not_compressed() -> None:
    assert parsed(b"{}", **{"Content-Encoding": "identity"}) == {}


@pytest.mark.parametrize(
    "media_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]
)
def test_what_is_no_json_by_its_own_word_is_refused(media_type: str) -> None:
    assert isinstance(refusal(b"a=1", media_type), UnsupportedMediaType)


def test_a_body_too_large_is_not_read_to_its_end() -> None:
    stream = io.BytesIO(b"1" * 10_000_000)
    with pytest.raises(BodyTooLarge):
        BoundedJSONParser().parse(stream)
    assert stream.tell() < 3_000_000
