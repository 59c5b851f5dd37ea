from __future__ import annotations

import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from security.addresses import address_in, address_of, network_of


def seen(peer: str, forwarded: str | None, *, proxies: int, settings: Settings) -> str:
    settings.TRUSTED_PROXIES = proxies
    more = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return address_of(RequestFactory().get("/", REMOTE_ADDR=peer, **more))  # type: ignore[arg-type]


def test_without_proxies_of_ours_nothing_is_believed(settings: Settings) -> None:
    assert seen("203.0.113.7", "198.51.100.1", proxies=0, settings=settings) == "203.0.113.7"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (1, "198.51.100.1", "198.51.100.1"),
        # What the client wrote itself stands to the left.
        (1, "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (2, "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (1, "198.51.100.1:4711", "198.51.100.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
        (1, "fe80::1%eth0", "fe80::1"),
    ],
)
def test_each_proxy_of_ours_vouches_for_one_entry(
    proxies: int, forwarded: str, address: str, settings: Settings
) -> None:
    assert seen("10.0.0.1", forwarded, proxies=proxies, settings=settings) == address


@pytest.mark.parametrize("forwarded", [None, "", "198.51.100.1", "nonsense, 10.0.0.2", ", ,"])
def test_what_no_proxy_of_ours_can_have_written_is_not_believed(forwarded: str | None, settings: Settings) -> None:
    assert seen("10.0.0.1", forwarded, proxies=2, settings=settings) == "10.0.0.1"


def test_a_socket_without_an_address_has_none(settings: Settings) -> None:
    assert seen("", None, proxies=0, settings=settings) == ""
    assert address_of(None) == ""


def test_a_websocket_comes_from_where_a_request_would(settings: Settings) -> None:
    headers = [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"198.51.100.1")]
    scope = {"client": ["10.0.0.1", 4711], "headers": headers}
    settings.TRUSTED_PROXIES = 0
    assert address_in(scope) == "10.0.0.1"
    settings.TRUSTED_PROXIES = 1
    assert address_in(scope) == "198.51.100.1"
    assert address_in({"client": None, "headers": []}) == ""


def test_a_network_of_ipv6_counts_as_one() -> None:
    assert network_of("2001:db8:1:2:3::1") == network_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")
    assert network_of("203.0.113.7") == "203.0.113.7"
