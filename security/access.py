"""What somebody may see and do: their role, and the projects they or their token are limited to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from security.exceptions import OutsideAccess
from security.identity import effective_role, token_of
from security.roles import Role

if TYPE_CHECKING:
    from rest_framework.request import Request

    from security.models import ApiToken

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody with a role may do, and in which projects; None: in all of them."""

    role: Role
    projects: frozenset[int] | None = None

    @property
    def is_admin(self) -> bool:
        """Tell whether they may see what is for admins."""
        return self.role is Role.ADMIN


def rights_of(user: AbstractBaseUser | AnonymousUser, token: ApiToken | None = None) -> Rights | None:
    """Return the rights of a user who came with this token; None without a role."""
    role = effective_role(user, token)
    return None if role is None else Rights(role, limit_of(user, token))


def projects_of(request: Request | HttpRequest) -> frozenset[int] | None:
    """Return the ids of the projects a request may see; None: all of them."""
    return limit_of(request.user, token_of(request))


def limit_of(user: AbstractBaseUser | AnonymousUser, token: ApiToken | None) -> frozenset[int] | None:
    """Return what both the user and the token, if there is one, are limited to; None: nothing."""
    limits = [limit for limit in (_limit_of_user(user), token.project_ids if token else None) if limit is not None]
    return frozenset.intersection(*map(frozenset, limits)) if limits else None


def visible(rows: QuerySet[M], paths: str | Sequence[str], projects: Iterable[int] | None) -> QuerySet[M]:
    """Return those rows whose project, found along one of the paths, is among `projects`; all of them for None."""
    if projects is None:
        return rows
    seen = Q(pk__in=[])
    for path in [paths] if isinstance(paths, str) else paths:
        seen |= Q(**{f"{path}__in": projects})
    return rows.filter(seen)


def require_all_projects(request: Request | HttpRequest) -> None:
    """Refuse what reaches beyond the projects somebody is limited to. Raises OutsideAccess."""
    if projects_of(request) is not None:
        raise OutsideAccess


def require_projects(request: Request | HttpRequest, wanted: Iterable[int] | None) -> list[int] | None:
    """Return the projects that somebody may hand on: those wanted, or for None all of their own. Raises OutsideAccess."""
    own = projects_of(request)
    if wanted is None:
        return None if own is None else sorted(own)
    if own is not None and not own.issuperset(wanted):
        raise OutsideAccess("You may see only some projects, and these are others.")
    return sorted(set(wanted))


def _limit_of_user(user: Any) -> list[int] | None:
    if not user.is_authenticated:
        return None
    try:
        project_ids: list[int] = user.access_limit.project_ids
    except ObjectDoesNotExist:
        return None
    return project_ids
