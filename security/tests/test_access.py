from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.http import HttpRequest

from security.access import Rights, limit_of, require_all_projects, require_projects, rights_of, visible
from security.exceptions import OutsideAccess
from security.roles import Role
from security.services import limit_access
from security.tests.factories import ACTOR, make_token, make_user

pytestmark = pytest.mark.django_db


def limited(*project_ids: int) -> User:
    user = make_user(Role.OPERATOR)
    limit_access(user, project_ids=project_ids, actor=ACTOR)
    return user


@pytest.mark.parametrize(
    ("of_user", "of_token", "seen"),
    [
        (None, None, None),
        ([1, 2], None, {1, 2}),
        (None, [2, 3], {2, 3}),
        ([1, 2], [2, 3], {2}),
        ([1], [2], set()),
        ([], None, set()),
        (None, [], set()),
    ],
)
def test_both_limits_hold(of_user: list[int] | None, of_token: list[int] | None, seen: set[int] | None) -> None:
    user = make_user(Role.VIEWER) if of_user is None else limited(*of_user)
    token, _ = make_token(user, project_ids=of_token)
    assert limit_of(user, token) == seen


def test_rights_are_role_and_projects() -> None:
    user = limited(1, 2)
    token, _ = make_token(user, scope="read", project_ids=[2])
    assert rights_of(user) == Rights(Role.OPERATOR, frozenset({1, 2}))
    assert rights_of(user, token) == Rights(Role.VIEWER, frozenset({2}))


def test_without_a_role_there_are_no_rights() -> None:
    assert rights_of(AnonymousUser()) is None
    assert rights_of(make_user()) is None


def test_a_limit_of_nothing_hides_everything() -> None:
    Group.objects.create(name="x")
    assert visible(Group.objects.all(), "pk", None).exists()
    assert not visible(Group.objects.all(), "pk", frozenset()).exists()


def test_one_path_of_several_is_enough() -> None:
    user = make_user(Role.VIEWER)
    assert list(visible(User.objects.all(), ("pk", "groups"), {user.pk})) == [user]
    assert list(visible(User.objects.all(), ("groups", "pk"), {user.pk})) == [user]


class TestHandingOn:
    def ask(self, user: User) -> HttpRequest:
        request = HttpRequest()
        request.user = user
        return request

    def test_who_sees_all_hands_on_what_they_like(self) -> None:
        request = self.ask(make_user(Role.ADMIN))
        assert require_projects(request, None) is None
        assert require_projects(request, [2, 1, 2]) == [1, 2]
        require_all_projects(request)

    def test_who_sees_some_hands_on_those(self) -> None:
        request = self.ask(limited(1, 2))
        assert require_projects(request, None) == [1, 2]
        assert require_projects(request, [2]) == [2]
        with pytest.raises(OutsideAccess):
            require_projects(request, [2, 3])
        with pytest.raises(OutsideAccess):
            require_all_projects(request)
