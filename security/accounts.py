"""What changes accounts: who there is, what they may do, their passwords. Each change is on record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import Group, User

from security import audit

# What an account may do, and whether it may log in. Of the rest the log says only that it was changed.
_RIGHTS = frozenset({"is_active", "is_staff", "is_superuser", "groups"})


def create_user(user: User, *, groups: Iterable[Group] = (), actor: str) -> User:
    """Write a new account whose fields and password have been set."""
    with audit.trail().unit_of_work():
        user.save(force_insert=True)
        user.groups.set(groups)
        told = [f"{name}: {value}" for name, value in _rights(user).items() if value not in ("", "False")]
        _record("user.create", user, actor=actor, reason="; ".join(told))
    return user


def update_user(user: User, *, actor: str, groups: Iterable[Group] | None = None, **changes: Any) -> User:
    """Change fields of an account, and which roles it has."""
    with audit.trail().unit_of_work():
        before, changed = _rights(user), _changed(user, changes)
        if changed:
            User.objects.filter(pk=user.pk).update(**changed)
        if groups is not None:
            user.groups.set(groups)
        user.refresh_from_db()
        if told := _told(before, _rights(user), changed):
            _record("user.update", user, actor=actor, reason=told)
    return user


@contextmanager
def password_watched(user_id: int, *, actor: str) -> Iterator[None]:
    """Run a block that may set a password, and record it if it did; both in one transaction."""
    rows = User.objects.filter(pk=user_id).values_list("password", flat=True)
    with audit.trail().unit_of_work():
        before = rows.first()
        yield
        if rows.first() != before:
            _record("user.password", User.objects.get(pk=user_id), actor=actor)


def resource_of(user: User) -> str:
    """Return how the audit trail names an account."""
    return f"User {user.pk} ({user.get_username()})"


def _changed(user: User, changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if getattr(user, name) != value}


def _rights(user: User) -> dict[str, str]:
    """Return what an account may do, in words; `groups` is empty where there is none."""
    flags = {name: str(getattr(user, name)) for name in sorted(_RIGHTS - {"groups"})}
    return {"groups": ", ".join(user.groups.order_by("name").values_list("name", flat=True)), **flags}


def _told(before: dict[str, str], after: dict[str, str], changed: Iterable[str]) -> str:
    rights = [
        f"{name}: {before[name] or 'none'} → {after[name] or 'none'}" for name in after if before[name] != after[name]
    ]
    return "; ".join([*rights, *(f"{name} changed" for name in sorted(set(changed) - _RIGHTS))])


def _record(action: str, user: User, *, actor: str, reason: str = "") -> None:
    audit.trail().record_access(
        action=action, resource=resource_of(user), outcome="allowed", actor=actor, reason=reason
    )
