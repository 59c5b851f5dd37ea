"""What every mutable row shares: the lock, and the guarded update. `version` tells of every change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Model

from orchestration.exceptions import Archived, DomainError, Gone, Invalid, VersionConflict

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
        raise stale(row)
    if not changed:
        return []
    for name, value in changed.items():
        setattr(row, name, value)
    checked(row)
    manager = type(row)._default_manager
    if not manager.filter(pk=row.pk, version=read).update(**changed, **(stamps or {}), version=F("version") + 1):
        raise stale(reread(row))
    reread(row)
    return sorted(changed)


def reread(row: M) -> M:
    """Bring a row to what is stored now. Raises Gone."""
    try:
        row.refresh_from_db()
    except ObjectDoesNotExist:
        raise Gone from None
    return row


def locked(row: M, *, expected_version: int | None = None, to_delete: bool = False) -> M:
    """Return the row as it is stored now, locked until the transaction ends. Raises Gone, VersionConflict.

    With `to_delete` no row that points to it can be committed meanwhile; without, that is left alone.
    """
    found = type(row)._default_manager.select_for_update(no_key=not to_delete).filter(pk=row.pk).first()
    if found is None:
        raise Gone
    if expected_version is not None and expected_version != getattr(found, "version"):  # noqa: B009  (as above)
        raise stale(found)
    return found


def stale(row: Model) -> VersionConflict:
    """Return the refusal of a change that was made for another version of the row; it tells what the row is now."""
    told = {name: getattr(row, name) for name in ("version", "status") if hasattr(row, name)}
    return VersionConflict(None, **told)


def refuse_archived(row: Model, *, field: str | None = None) -> None:
    """Raise Archived when the row is; `field` is what names it in the request."""
    if getattr(row, "is_archived", False):
        noun = row._meta.verbose_name
        where = {"field": field} if field else {}
        raise Archived(f"The {noun} {row.pk} is archived. Take it out of the archive first.", **where)


def delete_row(row: Model, *, expected_version: int | None = None) -> bool:
    """Delete a row; False when it is gone already. Raises VersionConflict."""
    try:
        locked(row, expected_version=expected_version, to_delete=True).delete()
    except Gone:
        return False
    return True
