"""`bbb breakers`."""

from __future__ import annotations

from typing import Annotated

import typer

from beebeebrain.cli import tables
from beebeebrain.cli.options import All, AsJson, Limit, Version, given_fields, group
from beebeebrain.cli.session import connect
from beebeebrain.cli.tables import Column

app = group("Usage limits that keep agents from starting.")

_COLUMNS = [
    Column("id", "id"),
    Column("provider", "provider"),
    Column("credential", "fingerprint"),
    Column("state", "state"),
    Column("reset", "reset_at"),
    Column("code", "code"),
]


@app.command("list")
def list_breakers(
    provider: Annotated[str | None, typer.Option(help="Of this provider only.")] = None,
    limit: Limit = 50,
    is_all: All = False,
    as_json: AsJson = False,
) -> None:
    """List the credentials whose usage limit was reached once, and until when it keeps agents from starting."""
    with connect() as api:
        found = api.rows("/breakers", limit=None if is_all else limit, provider=provider)
    tables.listing(_COLUMNS, *found, as_json=as_json, empty="No usage limit was reached.")


@app.command("reset")
def reset_breaker(
    breaker: Annotated[int, typer.Argument(min=1, help="Its id.")],
    expected_version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Let everything start again before the reset time; the provider's next refusal stops it anew."""
    with connect() as api:
        row = api.post(f"/breakers/{breaker}/reset", given_fields(expected_version=expected_version))
        tables.fields(row, as_json=as_json)
