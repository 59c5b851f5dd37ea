from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from security.models import ApiToken
from security.tests.factories import make_user
from security.tokens import find_token, usable

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("create_token", *arguments, stdout=output)
    return output.getvalue().strip()


def test_the_printed_token_is_valid() -> None:
    user = make_user()
    token = usable(find_token(run(user.username, "--name", "ci", "--scope", "write")))
    assert (token.user, token.name, token.scopes, token.expires_at) == (user, "ci", ["write"], None)


def test_days_limit_its_life() -> None:
    token = usable(find_token(run(make_user().username, "--name", "ci", "--scope", "read", "--days", "7")))
    assert token.expires_at is not None and 6 <= (token.expires_at - timezone.now()).days <= 7


def test_projects_limit_what_it_sees() -> None:
    projects = ["--project", "3", "--project", "1"]
    token = usable(find_token(run(make_user().username, "--name", "ci", "--scope", "read", *projects)))
    assert token.project_ids == [1, 3]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nobody", "--name", "ci", "--scope", "read"),
        ("somebody", "--name", "", "--scope", "read"),
        ("somebody", "--name", "ci", "--scope", "read", "--days", "0"),
        ("somebody", "--name", "ci", "--scope", "read", "--project", "0"),
    ],
)
def test_what_is_refused_ends_with_status_2_and_one_line(arguments: tuple[str, ...]) -> None:
    make_user(username="somebody")
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    assert refused.value.returncode == 2 and "\n" not in str(refused.value)
    assert not ApiToken.objects.exists()
