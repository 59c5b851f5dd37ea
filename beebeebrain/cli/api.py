"""The client of the API: one token, one retry policy, every refusal an exception."""

from __future__ import annotations

import random
import ssl
import sys
import time
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

# httpx loads its own command line, with a syntax highlighter, wherever that is installed: half of our start-up.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402  (after the line above)

from beebeebrain import __version__  # noqa: E402
from beebeebrain.cli import config  # noqa: E402
from beebeebrain.cli.errors import Refusal, Unreachable  # noqa: E402

Row = dict[str, Any]

PAGE = 200
_TRIES = 4
_FIRST_PAUSE_S = 0.25
# A server that asks for more patience than this is told of instead.
_LONGEST_PAUSE_S = 30.0
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
# The server has not carried the request out, whatever it is.
_NOT_NOW = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
# Whoever answers does not know whether it was carried out.
_UNCERTAIN = {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}


class Api:
    """`/api/v1` of one server. Raises Refusal for an answer that is no success, Unreachable where there is none."""

    def __init__(self, login: config.Login) -> None:
        self.url = login.url
        headers = {"Authorization": f"Bearer {login.token}", "User-Agent": f"bbb/{__version__}"}
        self._http = httpx.Client(
            base_url=f"{login.url}/api/v1",
            headers=headers,
            timeout=_TIMEOUT,
            verify=_trust(login.url),
            # A proxy leads elsewhere than to this machine.
            trust_env=not config.is_loopback(login.url),
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return what a path answers. A query of None is left out, a list is given several times."""
        return _json(self._send("GET", path, params=_params(query)))

    def rows(self, path: str, *, limit: int | None = None, **query: Any) -> tuple[list[Row], bool]:
        """Return at most `limit` rows of a list, all for None, and whether there are more."""
        found: list[Row] = []
        for page in self._pages(path, limit, query):
            found += page["results"]
            if limit is not None and len(found) >= limit:
                return found[:limit], len(found) > limit or bool(page["next"])
        return found, False

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Carry out a command, once however often it has to be sent: each try has the same Idempotency-Key."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return _json(self._send("POST", path, json=body if body is not None else {}, headers=headers))

    def patch(self, path: str, body: Row, **query: Any) -> Any:
        """Change a row; the query says how it is shown then."""
        return _json(self._send("PATCH", path, json=body, params=_params(query)))

    def delete(self, path: str, *, version: int | None = None) -> Any:
        """Delete a row; with a version, only that one."""
        headers = {"If-Match": f'"{version}"'} if version is not None else {}
        return _json(self._send("DELETE", path, headers=headers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def _pages(self, path: str, limit: int | None, query: Row) -> Iterator[Row]:
        cursor: str | None = None
        while True:
            page = self.get(path, **query, limit=min(limit or PAGE, PAGE), cursor=cursor)
            yield page
            if not page["next"]:
                return
            # Only the cursor of the link: behind a proxy its address may be one that we must not follow.
            cursor = parse_qs(urlsplit(page["next"]).query)["cursor"][0]

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request, again where that is safe and may help, and return the answer."""
        is_repeatable = method in ("GET", "POST")
        for pause in _pauses():
            try:
                response = self._http.request(method, path, **request)
            except httpx.RequestError as error:
                if not (is_repeatable or isinstance(error, httpx.ConnectError)):
                    raise Unreachable(_why(self.url, error)) from error
                time.sleep(pause)
                continue
            asked = _asks_for(response, is_repeatable=is_repeatable)
            if asked is None or asked > _LONGEST_PAUSE_S:
                return _checked(response)
            time.sleep(max(pause, asked))
        return self._send_last(method, path, **request)

    def _send_last(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return _checked(self._http.request(method, path, **request))
        except httpx.RequestError as error:
            raise Unreachable(_why(self.url, error)) from error


def _pauses() -> Iterator[float]:
    """Yield how long to wait after each try but the last, with some chance in it."""
    for number in range(_TRIES - 1):
        yield _FIRST_PAUSE_S * 2**number * random.uniform(0.8, 1.2)  # noqa: S311  (spreads tries, guards nothing)


def _asks_for(response: httpx.Response, *, is_repeatable: bool) -> float | None:
    """Return for how many seconds an answer asks us to wait before the next try, None where it is an answer."""
    is_under_way = response.status_code == HTTPStatus.CONFLICT and "Retry-After" in response.headers
    is_uncertain = response.status_code in _UNCERTAIN and is_repeatable
    if not (response.status_code in _NOT_NOW or is_under_way or is_uncertain):
        return None
    try:
        return float(response.headers.get("Retry-After", 0))
    except ValueError:
        # A date. Ours never send one.
        return 0.0


def _trust(url: str) -> ssl.SSLContext | bool:
    """Return which certificates to believe. Without TLS: none, which saves loading them all."""
    return True if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _params(query: Row) -> dict[str, Any]:
    given = {name: value for name, value in query.items() if value is not None and value != []}
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()}


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    raise Refusal(response.status_code, _problem(response))


def _problem(response: httpx.Response) -> Row:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and "code" in body:
        return body
    return _foreign(response)


def _foreign(response: httpx.Response) -> Row:
    """Return a problem in the place of an answer that is none of ours: a proxy's page, or another server's."""
    status, url = response.status_code, response.request.url.copy_with(query=None)
    where = f" and sends on to {response.headers['Location']}" if response.is_redirect else ""
    advice = (
        "That is no answer of BeeBeeBrain; check the address, and what stands between."
        if status < HTTPStatus.INTERNAL_SERVER_ERROR
        else "The server's log says why."
    )
    detail = f"{url} has answered {status} {response.reason_phrase}{where}. {advice}"
    return {"code": f"http_{status}", "status": status, "detail": detail}


def _json(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        raise Refusal(response.status_code, _foreign(response)) from None


def _why(url: str, error: httpx.RequestError) -> str:
    what = str(error) or type(error).__name__
    return f"{url} does not answer ({what}). Is the server running? `make run` starts one; BBB_URL names another."
