"""`bbb login`, `logout`, `whoami`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from beebeebrain.cli import config, output, tables
from beebeebrain.cli.options import AsJson, group, read_file
from beebeebrain.cli.session import connect

app = group()


@app.command("login")
def login(
    url: Annotated[
        str | None, typer.Argument(help="The server's address; without it the last one, or this machine.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="File that holds the token; - is stdin.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Log in with a token: it is asked for, or read from a file or from stdin, and never shown.

    `manage.py create_token USER --name NAME --scope admin` on the server makes one.
    """
    address = config.checked_url(url) if url else config.server(config.stored())
    _warn_of_plain_text(address)
    found = config.Login(address, config.checked_token(_token(address, token_file)))
    with connect(found) as api:
        me = api.get("/me")
    config.keep(found)
    if as_json:
        output.data(me)
    else:
        output.text(f"Logged in to {address} as {me['username']} ({me['role']}).")
    if config.is_overridden():
        output.note("Warning: BBB_URL or BBB_TOKEN is set and goes before what was kept now.")


@app.command("logout")
def logout(as_json: AsJson = False) -> None:
    """Forget the token. It stays valid until it is revoked or expires."""
    config.forget()
    if not as_json:
        output.text("Logged out. The token itself stays valid until it is revoked.")


@app.command("whoami")
def whoami(as_json: AsJson = False) -> None:
    """Say who is logged in where, and what is allowed."""
    with connect() as api:
        me = api.get("/me")
    if as_json:
        output.data(me)
        return
    tables.details(
        [
            ("user", me["username"]),
            ("role", me["role"]),
            ("server", api.url),
            ("projects", _projects(me)),
            ("token", (me["token"] or {}).get("name")),
            ("expires", (me["token"] or {}).get("expires_at")),
        ]
    )


def _token(url: str, file: str | None) -> str:
    if file is not None:
        return read_file(file)
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    token: str = typer.prompt(f"Token for {url}", hide_input=True, err=True)
    return token


def _warn_of_plain_text(url: str) -> None:
    if url.startswith("http:") and not config.is_loopback(url):
        output.note(f"Warning: {url} is not encrypted; everybody on the way can read the token. Prefer https.")


def _projects(me: dict[str, Any]) -> str:
    ids = me["project_ids"]
    return "all" if ids is None else ", ".join(map(str, ids)) or "none"
