"""Where a request comes from. What a client says about itself counts only as far as a proxy of ours has written it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

# `203.0.113.7:443` and `[2001:db8::1]:443`, as some proxies write them.
_WITH_PORT = re.compile(r"(\d+(?:\.\d+){3}):\d+|\[([^\]]+)\](?::\d+)?")
# Who has one address of IPv6 has all of the network it is in.
_NETWORK_V6 = 64


def address_of(request: HttpRequest | None) -> str:
    """Return the address of the client; empty where it cannot be told."""
    if request is None:
        return ""
    return _address(str(request.META.get("REMOTE_ADDR", "")), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def address_in(scope: Mapping[str, Any]) -> str:
    """Return the address of the client who opens a WebSocket; empty where it cannot be told."""
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return _address(str((scope.get("client") or [""])[0]), ",".join(forwarded))


def network_of(address: str) -> str:
    """Return whose failures are counted together: an address of IPv4, a network of IPv6."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, _NETWORK_V6), strict=False))


def _address(peer: str, forwarded: str) -> str:
    """Each proxy appends who asked it, so with N of ours the Nth from the right is what the outermost of them saw."""
    hops = forwarded.split(",") if forwarded else []
    trusted = settings.TRUSTED_PROXIES
    seen = hops[-trusted] if 0 < trusted <= len(hops) else peer
    return _readable(seen) or _readable(peer)


def _readable(text: str) -> str:
    match = _WITH_PORT.fullmatch(text.strip())
    try:
        address = ipaddress.ip_address((match[1] or match[2]) if match else text.strip())
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    # Without the zone of a link-local address, which names an interface of this host.
    return str(mapped or address).partition("%")[0]
