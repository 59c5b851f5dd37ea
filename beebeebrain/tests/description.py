"""The API's description, as tests read it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).parents[2] / "docs" / "openapi.yaml"


@functools.cache
def described() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(PAGE.read_text(), yaml.CSafeLoader)
    return found


def operations() -> dict[str, dict[str, Any]]:
    """Return the operations by their ids, each with its method and path."""
    return {
        operation["operationId"]: operation | {"method": method, "path": path}
        for path, item in described()["paths"].items()
        for method, operation in item.items()
    }


def resolve(described_: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference to what is described once."""
    found = described_
    while "$ref" in found:
        found = functools.reduce(lambda part, name: part[name], found["$ref"].split("/")[1:], described())
    return found


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the bodies of an operation, each with where it is."""
    if "requestBody" in operation:
        yield "request", operation["requestBody"]["content"]["application/json"]
    for status, response in operation["responses"].items():
        for content in resolve(response).get("content", {}).values():
            yield status, content


def examples(content: dict[str, Any]) -> list[Any]:
    return [example["value"] for example in content.get("examples", {}).values()]
