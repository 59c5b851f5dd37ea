"""JSON that a person gives: from a file or from stdin."""

from __future__ import annotations

import json
from typing import Any

from beebeebrain.cli.errors import Misuse
from beebeebrain.cli.options import read_file


def json_in(file: str) -> Any:
    """Return what a JSON file holds. Raises Misuse with line and column of what is wrong."""
    try:
        return json.loads(read_file(file))
    except json.JSONDecodeError as error:
        raise Misuse(f"{file}:{error.lineno}:{error.colno}: this is no JSON: {error.msg}.") from None
    except RecursionError:
        raise Misuse(f"{file}: this JSON is nested too deeply.") from None


def object_in(file: str | None) -> dict[str, Any]:
    """Return the fields that a JSON file holds; none without a file. Raises Misuse."""
    found = {} if file is None else json_in(file)
    if not isinstance(found, dict):
        raise Misuse(f'{file}: a JSON object is wanted, such as {{"name": "Bee"}}.')
    return found
