"""The guarded update that every mutable row shares: `version` is the lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Model

from orchestration.exceptions import DomainError, Invalid, VersionConflict

M = TypeVar("M", bound=Model)


def checked(row: M, *, exclude: set[str] | None = None) -> M:
    """Return the row when its fields are valid. Raises Invalid naming the first bad field; writes nothing."""
    try:
        row.clean_fields(exclude=exclude)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(f"{field}: {' '.join(messages)}", field=field) from None
    return row


def insert(row: Model, *, taken: type[DomainError]) -> None:
    """Write a new row. Raises `taken` when another one with the same name was written in the same moment."""
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        raise taken from None


def update_row(
    row: M, *, expected_version: int | None, changes: dict[str, Any], stamps: Mapping[str, Any] | None = None
) -> list[str]:
    """Write the changes and raise the version; return the names of the fields that changed.

    `stamps` are written with them and count for no change. Without `expected_version` the version that was read is the guard. Raises VersionConflict, Invalid.
    """
    changed = {name: value for name, value in changes.items() if getattr(row, name) != value}
    read: int = getattr(row, "version")  # noqa: B009  (every mutable row has it; Model does not know)
    if expected_version is not None and expected_version != read:
        raise VersionConflict(None, version=read)
    if not changed:
        return []
    for name, value in changed.items():
        setattr(row, name, value)
    checked(row)
    manager = type(row)._default_manager
    if not manager.filter(pk=row.pk, version=read).update(**changed, **(stamps or {}), version=F("version") + 1):
        row.refresh_from_db()
        raise VersionConflict(None, version=getattr(row, "version"))  # noqa: B009
    row.refresh_from_db()
    return sorted(changed)
