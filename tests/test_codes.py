"""Every code that an answer may carry is listed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from django.urls import get_resolver
from django_filters.rest_framework import FilterSet  # type: ignore[import-untyped]
from drf_standardized_errors.openapi_utils import (
    get_flat_serializer_fields,
    get_form_fields_with_error_codes,
    get_serializer_fields_with_error_codes,
)
from rest_framework.exceptions import APIException, ValidationError

from api import problems
from api.bodies import StrictSerializer
from beebeebrain import codes, errors
from llm.operator_settings import OperatorSettingsError
from orchestration.exceptions import DomainError, InvalidRepository
from orchestration.git import InvalidCode
from runtime.exceptions import ClientUnavailable
from tests.commands import ROOT

# These carry codes of others: of fields, and of our own errors.
CARRIERS = {ValidationError, errors.Refusal}


@pytest.fixture(autouse=True)
def everything_is_imported() -> None:
    """Import all views, and with them all serializers and filters."""
    assert get_resolver().url_patterns


def test_every_exception_of_the_framework_is_explained() -> None:
    told = [cls for cls in codes.below(APIException) if not any(issubclass(cls, carrier) for carrier in CARRIERS)]
    assert [cls for cls in told if cls.default_code not in {code for code, _, _ in codes.protocol()}] == []


def test_every_error_of_ours_has_a_status_a_code_of_its_own_and_says_what_to_do() -> None:
    found = codes.domain()
    assert len({code for code, _, _ in found}) == len(found)
    assert [code for code, status, meaning in found if status not in (400, 401, 403, 409) or ". " not in meaning] == []


def test_every_foreign_error_is_listed_with_its_status() -> None:
    listed = codes.listed()
    told = {(code, errors.STATUS[cls]) for cls, (code, _) in errors.WORDS.items()}
    assert [pair for pair in told if pair[1] not in listed[pair[0]]] == []


def test_an_error_that_brings_its_own_code_brings_a_declared_one() -> None:
    assert set(get_args(InvalidCode)) == InvalidRepository.codes.keys()
    clients = {OperatorSettingsError.code, *(cls.code for cls in codes.below(OperatorSettingsError))}
    assert clients == ClientUnavailable.codes.keys()
    undeclared = [cls for cls in codes.below(DomainError) if cls.__init__ is not DomainError.__init__ and not cls.codes]
    assert undeclared == []


def test_every_code_a_field_of_a_body_may_have_is_listed() -> None:
    found = {code for cls in codes.below(StrictSerializer) for code in _of_fields(cls())}
    assert found
    assert found - codes.FIELDS.keys() == set()


def test_every_code_a_filter_may_have_is_listed() -> None:
    filters = [cls for cls in codes.below(FilterSet) if cls.base_filters]
    found = {
        code for cls in filters for field in get_form_fields_with_error_codes(cls().form) for code in field.error_codes
    }
    assert found
    assert found - codes.FIELDS.keys() == set()


def test_every_code_that_is_written_where_requests_are_read_is_listed() -> None:
    folders = ["api", "security", "orchestration/serializers", "runtime/serializers", "runtime/views", "beebeebrain"]
    files = [file for folder in folders for file in (ROOT / folder).glob("*.py")] + [ROOT / "inbox/serializers.py"]
    written = {code for file in files for code in _written(ast.parse(file.read_text()))}
    assert {"unknown_field", "in_the_past", "body_too_large"} <= written
    # `refused` is the code of classes that nobody raises.
    assert written - codes.listed().keys() - codes.STREAM.keys() == {"refused"}


@pytest.mark.parametrize("code", sorted(codes.listed()))
def test_a_code_can_stand_in_a_type(code: str) -> None:
    assert problems.TYPE + code == (problems.TYPE + code).lower().strip()


def test_the_words_for_a_code_end_as_sentences_do() -> None:
    told = [*(meaning for _, _, meaning in (*codes.protocol(), *codes.domain())), *codes.FIELDS.values()]
    assert [meaning for meaning in told if not meaning.endswith(".")] == []


def _of_fields(serializer: StrictSerializer) -> Iterator[str]:
    for field in get_serializer_fields_with_error_codes(get_flat_serializer_fields(serializer)):
        yield from field.error_codes


def _written(tree: ast.AST) -> Iterator[str]:
    """Return the codes in `code="…"`, `default_code = "…"`, `ErrorDetail(…, "…")`, and the like."""
    for node in ast.walk(tree):
        for each in _places(node):
            value = each.value if isinstance(each, ast.Constant) else None
            if isinstance(value, str) and value.isidentifier() and value.islower():
                yield value


def _places(node: ast.AST) -> list[Any]:
    if isinstance(node, ast.keyword):
        return [node.value] if node.arg == "code" else []
    if isinstance(node, ast.Assign):
        return [node.value] if getattr(node.targets[0], "id", "") in ("code", "default_code") else []
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("ErrorDetail", "BadQuery", "_answer"):
        return node.args
    return []
