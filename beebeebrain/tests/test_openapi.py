"""The API's description is complete, true to the code, and committed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from rest_framework.test import APIClient

from beebeebrain import codes
from beebeebrain.tests.description import PAGE, contents, described, examples, operations, resolve

# What these hold depends on the row.
FREE = {"payload", "body", "limits", "daily_limits", "data"}
# What is sent to these answers with rows that are there; the others change them.
SENT: dict[str, dict[str, Any]] = {
    "tasks_bulk": {"project": 1, "tasks": [{"title": "One"}]},
    "tasks_broadcast": {"statuses": ["todo"]},
    "tokens_create": {"name": "new", "scopes": ["read"]},
}


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the description as `make openapi` does, without a warning."""
    path = tmp_path_factory.mktemp("openapi") / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    return path.read_text()


def example_of(operation: dict[str, Any]) -> Any:
    """Return what an operation is said to answer."""
    status = min(operation["responses"])
    return examples(operation["responses"][status]["content"]["application/json"])[0]


def keys(value: Any) -> Any:
    """Return the names in a JSON value, of the first entry for a list."""
    if isinstance(value, dict):
        return {name: None if name in FREE else keys(inner) for name, inner in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


every_operation = pytest.mark.parametrize("name", sorted(operations()))


def test_the_committed_description_is_what_the_code_says(generated: str) -> None:
    is_same = generated == PAGE.read_text()
    assert is_same, (
        "docs/openapi.yaml is not what the code says any more: run `make openapi`, and look at the difference."
    )


def test_the_committed_list_of_errors_is_what_the_code_says() -> None:
    is_same = codes.document() == (PAGE.parent / "errors.md").read_text()
    assert is_same, "docs/errors.md is not what the code says any more: run `make openapi`, and look at the difference."


@every_operation
def test_an_operation_says_what_it_is(name: str) -> None:
    operation = operations()[name]
    tags = {tag["name"]: tag["description"] for tag in described()["tags"]}
    assert [tags[tag] for tag in operation["tags"]]
    assert operation["description"]
    assert 3 < len(operation["summary"]) <= 80
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert "session" in str(operation["security"])
    assert "token" in str(operation["security"])


@every_operation
def test_an_operation_has_an_example_of_each_body(name: str) -> None:
    operation = operations()[name]
    assert [where for where, content in contents(operation) if not examples(content)] == []
    assert ("requestBody" in operation) == (operation["method"] in ("post", "patch"))


@every_operation
def test_an_operation_says_how_it_refuses(name: str) -> None:
    operation = operations()[name]
    statuses = operation["responses"].keys()
    assert {"400", "401", "403", "406", "429", "500", "503"} <= statuses
    assert ("404" in statuses) == ("{" in operation["path"])
    assert "409" in statuses or operation["method"] == "get"
    assert ({"413", "415"} <= statuses) == ("requestBody" in operation)
    assert ("422" in statuses) == (operation["method"] == "post")
    assert all("X-Trace-ID" in resolve(response)["headers"] for response in operation["responses"].values())


@every_operation
def test_an_example_is_what_its_schema_says(name: str) -> None:
    for where, content in contents(operations()[name]):
        schema = content["schema"] | {"components": described()["components"]}
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        errors = [error.message for example in examples(content) for error in validator.iter_errors(example)]
        assert (where, errors) == (where, [])


def test_an_example_of_an_error_has_a_code_that_comes_with_its_status() -> None:
    listed = codes.listed()
    for response in described()["components"]["responses"].values():
        for problem in examples(response["content"]["application/problem+json"]):
            told = [problem["code"], *(error["code"] for error in problem["errors"])]
            assert [code for code in told if problem["status"] not in listed[code]] == []


def test_a_key_of_which_only_the_first_answer_says_more_is_described() -> None:
    token = operations()["tokens_create"]["responses"]["201"]["content"]["application/json"]
    assert examples(token)[0].keys() == resolve(token["schema"])["properties"].keys()


@pytest.mark.django_db
class TestTruth:
    """What the examples show is what the API answers."""

    @pytest.fixture(autouse=True)
    def log_in(self, admin: User) -> None:
        self.api = APIClient()
        self.api.force_login(admin)

    def test_answers_have_the_names_of_their_examples(self) -> None:
        # The stream has no end; its frames are looked at where it is.
        asked = [found for name, found in operations().items() if found["method"] == "get" and name != "events_stream"]
        told = {operation["operationId"]: keys(self._get(self._address(operation))) for operation in asked}
        assert told == {operation["operationId"]: keys(example_of(operation)) for operation in asked}

    def test_answers_to_commands_have_the_names_of_their_examples(self) -> None:
        for name, sent in SENT.items():
            operation = operations()[name]
            body = sent | ({"project": self._first("/api/v1/projects")} if "project" in sent else {})
            answer = self.api.post(operation["path"].replace("{command}", "pause"), body, format="json")
            assert (name, keys(answer.json())) == (name, keys(example_of(operation)))

    def _get(self, address: str, **query: str) -> Any:
        answer = self.api.get(address, query)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def _address(self, operation: dict[str, Any]) -> str:
        path: str = operation["path"]
        lists, _, rest = path.partition("/{id}")
        return path if lists == path else f"{lists}/{self._first(lists)}{rest}"

    def _first(self, lists: str) -> int:
        """Return a row that has something to show: a run that has changed files, a task with both before and behind it."""
        query = {"runs": {"status": "succeeded"}, "tasks": {"search": "middle"}}.get(lists.split("/")[-1], {})
        found: int = self._get(lists, **query)["results"][0]["id"]
        return found
