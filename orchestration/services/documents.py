"""Documents: the texts of a project that agents are given."""

from __future__ import annotations

import hashlib
from typing import Any

from events import services as events
from events.states import EventType
from orchestration.exceptions import NameTaken
from orchestration.models import Document, Project
from orchestration.services.rows import checked, update_row


@events.unit_of_work()
def create_document(project: Project, *, path: str, title: str, actor: str, **fields: Any) -> Document:
    """Create a document. Raises Invalid, NameTaken."""
    document = Document(project=project, path=path, title=title, **fields)
    document.content_hash = _digest(document.body)
    checked(document)
    if Document.objects.filter(project=project, path=path).exists():
        raise NameTaken("Another document of the project has this path. Choose another one.")
    document.save(force_insert=True)
    events.append(
        EventType.DOCUMENT_CREATED, project_id=project.pk, actor=actor, id=document.pk, version=1, title=title
    )
    return document


@events.unit_of_work()
def update_document(document: Document, *, actor: str, expected_version: int | None = None, **changes: Any) -> Document:
    """Change a document. Raises Invalid, VersionConflict."""
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


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
