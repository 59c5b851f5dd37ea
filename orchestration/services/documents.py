"""Documents: the texts of a project that agents are given."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

from events import services as events
from events.states import EventType
from orchestration.exceptions import Gone, NameTaken, PathOutside
from orchestration.models import Document, Project
from orchestration.services.comments import delete_comment
from orchestration.services.rows import checked, insert, locked, update_row


@events.unit_of_work()
def create_document(project: Project, *, path: str, title: str, actor: str, **fields: Any) -> Document:
    """Create a document. Raises Invalid, PathOutside, NameTaken."""
    document = Document(project=project, path=path, title=title, **fields)
    document.content_hash = _digest(document.body)
    checked(document)
    _refuse_outside(path)
    _refuse_taken(document)
    insert(document, taken=NameTaken)
    events.append(
        EventType.DOCUMENT_CREATED, project_id=project.pk, actor=actor, id=document.pk, version=1, title=title
    )
    return document


@events.unit_of_work()
def update_document(document: Document, *, actor: str, expected_version: int | None = None, **changes: Any) -> Document:
    """Change a document. Raises Invalid, PathOutside, NameTaken, VersionConflict."""
    if "path" in changes:
        _refuse_outside(changes["path"])
        _refuse_taken(Document(pk=document.pk, project_id=document.project_id, path=changes["path"]))
    if "body" in changes:
        changes["content_hash"] = _digest(changes["body"])
    if fields := update_row(document, expected_version=expected_version, changes=changes):
        events.append(
            EventType.DOCUMENT_UPDATED,
            project_id=document.project_id,
            actor=actor,
            id=document.pk,
            version=document.version,
            fields=fields,
        )
    return document


@events.unit_of_work()
def delete_document(document: Document, *, actor: str, expected_version: int | None = None) -> None:
    """Delete a document with what was said about it; one that is gone already is no error. Raises VersionConflict."""
    with suppress(Gone):
        present = locked(document, expected_version=expected_version, to_delete=True)
        for comment in present.comments.select_related("document"):
            delete_comment(comment, actor=actor)
        present.delete()
        events.append(EventType.DOCUMENT_DELETED, project_id=document.project_id, actor=actor, id=document.pk)


def _refuse_outside(path: str) -> None:
    """Refuse what is no path below the repository: whoever reads or writes it there relies on that."""
    if not path.isprintable() or "\\" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise PathOutside(field="path")


def _refuse_taken(document: Document) -> None:
    others = Document.objects.filter(project_id=document.project_id, path=document.path).exclude(pk=document.pk)
    if others.exists():
        raise NameTaken("Another document of the project has this path. Choose another one.")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
