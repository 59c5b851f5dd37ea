from __future__ import annotations

import re

import pytest
from django.test import Client

from beebeebrain.tracing import HEADER

URL = "/healthz"


def test_a_request_gets_a_trace(client: Client) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", client.get(URL)[HEADER])


def test_two_requests_have_two_traces(client: Client) -> None:
    assert client.get(URL)[HEADER] != client.get(URL)[HEADER]


def test_a_trace_that_is_given_is_kept(client: Client) -> None:
    assert client.get(URL, headers={HEADER: "ci-4711.retry_2"})[HEADER] == "ci-4711.retry_2"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "é", '{"a":1}'])
def test_what_is_no_trace_is_replaced(client: Client, given: str) -> None:
    assert client.get(URL, headers={HEADER: given})[HEADER] != given


def test_an_answer_without_a_view_has_a_trace_too(client: Client) -> None:
    assert client.get("/nowhere")[HEADER]
