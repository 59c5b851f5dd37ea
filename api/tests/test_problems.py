from __future__ import annotations

from typing import Any

import pytest
from rest_framework.exceptions import ErrorDetail, ValidationError

from api.problems import MOST_TOLD, Fault, faults_in, problem


def told(*faults: Fault, has_body: bool = True, **data: Any) -> dict[str, Any]:
    return problem(400, faults, path="/api/v1/tasks", trace_id="trace", has_body=has_body, data=data)


def pointers(detail: Any) -> list[str | None]:
    faults = list(faults_in(ValidationError(detail).detail))
    return [error.get("pointer") for error in told(*faults)["errors"]]


def test_one_error_gives_the_answer_its_code() -> None:
    assert told(Fault("required", "Say it.", ("title",))) == {
        "type": "urn:beebeebrain:error:required",
        "title": "Bad Request",
        "status": 400,
        "code": "required",
        "detail": "title: Say it.",
        "instance": "/api/v1/tasks",
        "trace_id": "trace",
        "errors": [{"code": "required", "detail": "Say it.", "pointer": "/title"}],
    }


def test_several_errors_have_a_code_of_their_own() -> None:
    answer = told(Fault("required", "Say it.", ("title",)), Fault("invalid", "No.", ("limits", "usd")))
    assert (answer["code"], answer["type"]) == ("invalid_request", "urn:beebeebrain:error:invalid_request")
    assert answer["detail"] == "title: Say it. There are 2 errors; `errors` lists them."
    assert [error["pointer"] for error in answer["errors"]] == ["/title", "/limits/usd"]


def test_an_error_of_the_query_names_its_parameter() -> None:
    [error] = told(Fault("invalid", "No.", ("limit",)), has_body=False)["errors"]
    assert error == {"code": "invalid", "detail": "No.", "parameter": "limit"}


def test_an_error_of_the_whole_has_no_place() -> None:
    [error] = told(Fault("invalid", "No."))["errors"]
    assert error == {"code": "invalid", "detail": "No."}


def test_data_is_there_where_there_is_something_to_tell() -> None:
    assert told(Fault("conflict", "No."), version=4)["data"] == {"version": 4}
    assert "data" not in told(Fault("conflict", "No."))


@pytest.mark.parametrize(
    ("detail", "pointer"),
    [
        ({"title": ["No."]}, "/title"),
        ({"limits": {"usd": ["No."]}}, "/limits/usd"),
        ({"depends_on": {0: ["No."]}}, "/depends_on/0"),
        ({"tasks": [{}, {}, {}, {"title": ["No."]}]}, "/tasks/3/title"),
        ({"tasks": {3: {"depends_on": {1: ["No."]}}}}, "/tasks/3/depends_on/1"),
        ({"limits": {"non_field_errors": ["No."]}}, "/limits"),
        ({"non_field_errors": ["No."]}, None),
        (["No."], None),
        ({"a/b~c": ["No."]}, "/a~1b~0c"),
        ({"": ["No."]}, "/"),
        ({"x" * 1000: ["No."]}, "/" + "x" * 100),
        ({"\ud800": ["No."]}, "/?"),
    ],
)
def test_a_pointer_leads_to_the_value(detail: Any, pointer: str | None) -> None:
    assert pointers(detail) == [pointer]


def test_several_errors_of_one_value_have_one_place() -> None:
    assert pointers({"title": ["No.", "Never."]}) == ["/title", "/title"]


def test_no_more_is_listed_than_somebody_reads() -> None:
    answer = told(*(Fault("unknown_field", "No.", (str(number),)) for number in range(100_000)))
    assert len(answer["errors"]) == MOST_TOLD
    assert "100000" in answer["detail"]


def test_the_code_is_that_of_the_error() -> None:
    [fault] = faults_in({"title": [ErrorDetail("No.", code="max_length")]})
    assert fault == Fault("max_length", "No.", ("title",))
