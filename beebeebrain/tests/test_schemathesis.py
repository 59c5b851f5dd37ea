"""The API answers whatever it is asked as its description says: Schemathesis asks."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.apps import apps
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import ignored_auth, response_schema_conformance

from beebeebrain import codes
from beebeebrain.tests.description import described
from orchestration.exceptions import InvalidRepository
from orchestration.models import Project
from runtime.exceptions import ClientUnavailable
from security.roles import Role
from security.tests.factories import make_token, make_user

Case = schemathesis.Case[Any]
LISTED = codes.listed()
# What refuses a body that is all that the description asks for: no schema says which rows there are, and what is true of them.
UNSAYABLE = {
    # Nothing but white space: a schema counts it as text.
    "blank",
    "does_not_exist",
    "cross_project",
    "dependency_cycle",
    "duplicate_ref",
    "unknown_ref",
    "unknown_provider",
    "unknown_model",
    "user_input_required",
    "action_not_offered",
    "in_the_past",
    # Two times and what else narrows the search, together.
    "search_too_wide",
    "parent_cycle",
    "path_outside",
    "nothing_selected",
    "max_digits",
    "max_decimal_places",
    # No database keeps such a text. Said of each text in the description, it would be noise.
    "null_characters_not_allowed",
    *InvalidRepository.codes,
    *ClientUnavailable.codes,
}
SETTINGS = hypothesis.settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
CONFIG: dict[str, Any] = {
    "generation": {"max-examples": 5, "deterministic": True, "no-shrink": True},
    "checks": {
        # 400: see `test_what_is_valid_is_refused_only_for_what_no_schema_says`. 412: an If-Match for another version is a valid one.
        # 422, here and below: with an Idempotency-Key that an earlier request had, the rest is not looked at.
        "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "403", "404", "409", "412", "422"]},
        "negative_data_rejection": {
            "expected-statuses": ["400", "403", "404", "405", "406", "409", "412", "413", "415", "422"]
        },
    },
}
NOUNS = {
    "projects": "orchestration.Project",
    "agents": "orchestration.Agent",
    "tasks": "orchestration.Task",
    "dependencies": "orchestration.TaskDependency",
    "documents": "orchestration.Document",
    "comments": "orchestration.Comment",
    "runs": "runtime.TaskRun",
    "inbox": "inbox.InboxItem",
    "events": "events.Event",
    "logs": "runtime.RunLog",
    "tokens": "security.ApiToken",
}
RELATED = {
    "project": "projects",
    "agent": "agents",
    "assignee": "agents",
    "task": "tasks",
    "parent": "tasks",
    "depends_on": "tasks",
    "document": "documents",
    "run": "runs",
}

pytestmark = pytest.mark.django_db


def describe(changes: dict[str, Any]) -> Any:
    """Return the description, which the application itself answers for."""
    # The stream has no end, and this server no event loop: events/tests/test_stream.py asks it.
    # Read once, and in C: schemathesis would take seconds to read the file, each time in each test process.
    config = SchemathesisConfig.from_dict(CONFIG | changes)
    api = schemathesis.openapi.from_dict(deepcopy(described()), config=config).exclude(operation_id="events_stream")
    api.app = get_wsgi_application()
    return api


API = describe({})
ONLY_EXAMPLES = describe({"phases": {"coverage": {"enabled": False}, "fuzzing": {"enabled": False}}})
AT_LENGTH = describe({"generation": {"max-examples": 300}})
OPERATIONS = [result.ok().definition.raw["operationId"] for result in API.get_all_operations()]


@schemathesis.check
def every_code_is_listed(ctx: Any, response: schemathesis.Response, case: Case) -> None:
    """docs/errors.md has every code, with the status it came with."""
    if response.status_code >= 400:
        problem = response.json()
        told = [problem["code"], *(error["code"] for error in problem["errors"])]
        assert [code for code in told if response.status_code not in LISTED.get(code, ())] == []


@schemathesis.check
def what_is_valid_is_refused_only_for_what_no_schema_says(
    ctx: Any, response: schemathesis.Response, case: Case
) -> None:
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if is_valid and response.status_code == 400:
        assert [error for error in response.json()["errors"] if not _is_unsayable(error)] == []


def _is_unsayable(error: dict[str, str]) -> bool:
    """Tell whether no schema could have said so: of rows, of an order and its cursor, of several fields together."""
    is_about_all = error["code"] == "invalid" and not error.keys() & {"pointer", "parameter"}
    return error["code"] in UNSAYABLE or error.get("parameter") in ("cursor", "ordering") or is_about_all


class World:
    """Rows that are there for all tests of this file, and those who may see them."""

    def __init__(self, admin: User) -> None:
        self.guarded: set[str] = set()
        self.admin = self._login(admin)
        self.fitting = {"root_path": Project.objects.latest("pk").root_path, "provider": "noop"}
        self.viewer = self._login(make_user(Role.VIEWER))
        self.ids = {
            noun: list(apps.get_model(model).objects.order_by("pk").values_list("pk", flat=True))
            for noun, model in NOUNS.items()
        }

    def _login(self, user: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {make_token(user)[1]}"}

    def ask(self, case: Case, headers: dict[str, str] | None = None) -> schemathesis.Response:
        """Send a request, look at the answer, and undo what it did."""
        self.aim(case)
        with transaction.atomic():
            answer = case.call_and_validate(headers=headers or self.admin, excluded_checks=self._left_out(case))
            transaction.set_rollback(True)
        if answer.status_code < 300:
            self.guarded.add(case.operation.label)
        return answer

    def _left_out(self, case: Case) -> list[Any]:
        # Fewer fields than the description requires: the parameter says so itself.
        is_shortened = "fields" in case.query
        # It sends a request three times more; that an operation asks for a login need not be seen more than once.
        is_guarded = case.operation.label in self.guarded
        return [response_schema_conformance] * is_shortened + [ignored_auth] * is_guarded

    def follow(self, api: Any, max_examples: int) -> None:
        """Send requests that follow one another, with ids from the answers before; undo each story when it is told."""
        world = self

        class Story(api.as_state_machine()):  # type: ignore[misc]  # made by the package, for this description
            def setup(self) -> None:
                self.transaction = transaction.atomic()
                self.transaction.__enter__()

            def teardown(self) -> None:
                transaction.set_rollback(True)
                self.transaction.__exit__(None, None, None)

            def before_call(self, case: Case) -> None:
                case.query.pop("fields", None)
                # Of few keys that are made up, one comes twice in a story, and answers for a row that is gone by then.
                case.headers.pop("Idempotency-Key", None)
                world.aim_related(case)
                if isinstance(case.body, dict):
                    # A story that begins with a refusal is soon told.
                    case.body.update({name: value for name, value in world.fitting.items() if name in case.body})

            def get_call_kwargs(self, case: Case) -> dict[str, Any]:
                return {"headers": world.admin}

            def call(self, case: Case, **kwargs: Any) -> schemathesis.Response:
                # What PostgreSQL refuses to read ends a transaction; a request alone has none, one in a story has all of it.
                with transaction.atomic():
                    answer: schemathesis.Response = super().call(case, **kwargs)
                    transaction.set_rollback(answer.status_code >= 400)
                return answer

            def validate_response(self, response: schemathesis.Response, case: Case, **_: Any) -> None:
                # That logins are asked for is seen elsewhere; here, the login is none of the case's own. And of what one
                # answer hands to the next request, the generator changes some (498.2 for an id) and calls it valid still.
                excluded = [ignored_auth, what_is_valid_is_refused_only_for_what_no_schema_says]
                case.validate_response(response, excluded_checks=excluded, recorder=self.recorder)

        # The same story told twice meets other ids and tokens, which hypothesis cannot have. It says so at the first
        # difference that it notices; every answer until then was looked at.
        with contextlib.suppress(FlakyStrategyDefinition):
            Story.run(settings=hypothesis.settings(SETTINGS, max_examples=max_examples, stateful_step_count=8))

    def aim(self, case: Case) -> None:
        """Let a request find rows: of all ids that it could send, few are somebody's."""
        assert case.meta is not None
        noun = case.operation.path.split("/")[3]
        if noun in self.ids and "id" in case.path_parameters and not case.meta.is_negative_at(ParameterLocation.PATH):
            case.path_parameters["id"] = self._hit(noun, case.path_parameters["id"])
        self.aim_related(case)

    def aim_related(self, case: Case) -> None:
        """Let the body of a request name rows that are there."""
        assert case.meta is not None
        # Nobody writes a whole number in an address as 7e+3, though JSON has it for the same.
        case.query.update({name: int(given) for name, given in case.query.items() if _is_whole(given)})
        if isinstance(case.body, dict) and not case.meta.is_negative_at(ParameterLocation.BODY):
            drafts: Any = case.body.get("tasks") or []
            for body in [case.body, *drafts]:
                body.update({name: self._hit(RELATED[name], given) for name, given in body.items() if name in RELATED})

    def _hit(self, noun: str, given: Any) -> Any:
        if isinstance(given, list):
            return [self._hit(noun, each) for each in given]
        return self.ids[noun][given % len(self.ids[noun])] if isinstance(given, int) else given


def _is_whole(given: Any) -> bool:
    return isinstance(given, float) and given.is_integer()


@pytest.fixture(scope="module")
def world(admin: User, django_db_blocker: Any) -> World:
    with django_db_blocker.unblock():
        return World(admin)


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """Keep the transaction of the test: a request begins and ends by closing what it finds open."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def without_limits(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_PER_MINUTE = settings.TOKEN_FAILURES_PER_MINUTE = 0
    monkeypatch.setenv("ANTHROPIC_API_KEY", "dummy")


def ask(api: Any, name: str, asked: Callable[[Case], object]) -> None:
    """Let Schemathesis ask one operation.

    The package's decorator does the same while tests are collected, where it would take its time in every run of any test.
    """

    def test(case: Case) -> None:
        asked(case)

    found: Any
    [found] = get_all_tests(schema=api.include(operation_id=name), test_func=test, settings=None, given_kwargs={})
    found.ok()[1]()


def is_in_sample(case: Case) -> bool:
    """Tell whether `make test` sends a request: of the hundreds that go over every keyword of a schema a third, one half of it on
    each database. `make test-long` sends them all."""
    assert case.meta is not None
    said = repr((case.path_parameters, case.query, case.headers, case.cookies, case.body))
    sixth = 1 if connection.vendor == "postgresql" else 0
    return case.meta.phase.name != TestPhase.COVERAGE or zlib.crc32(said.encode(errors="replace")) % 6 == sixth


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_answers_as_described(name: str, world: World) -> None:
    ask(API, name, lambda case: world.ask(case) if is_in_sample(case) else None)


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_answers_as_described_however_long_it_is_asked(name: str, world: World) -> None:
    ask(AT_LENGTH, name, world.ask)


@pytest.mark.one_database
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_viewer_is_refused_as_described(name: str, world: World) -> None:
    def look(case: Case) -> None:
        answer = world.ask(case, world.viewer)
        # Everybody has tokens of their own.
        is_own = case.operation.method == "get" or name.startswith("tokens_")
        assert is_own or answer.status_code == 403

    ask(ONLY_EXAMPLES, name, look)


def test_what_was_made_is_found_and_what_was_deleted_is_not(world: World) -> None:
    """Requests follow one another, with ids from the answers before."""
    world.follow(API, max_examples=20)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_what_was_made_is_found_and_what_was_deleted_is_not_at_length(world: World) -> None:
    world.follow(AT_LENGTH, max_examples=500)
