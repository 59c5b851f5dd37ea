from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from events.models import Event
from events.states import EventType
from orchestration.exceptions import Invalid, NameTaken, PathOutside, VersionConflict
from orchestration.models import Document, Project
from orchestration.services.comments import create_comment
from orchestration.services.documents import create_document, delete_document, update_document
from orchestration.states import DocumentType
from orchestration.tests.factories import ACTOR, make_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "repo")


def create(project: Project, path: str = "rules.md", **fields: Any) -> Document:
    return create_document(project, **{"path": path, "title": "Rules", "actor": ACTOR} | fields)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_document_is_on_record_and_its_text_is_not(project: Project) -> None:
    document = create(project, body="Be kind.", doc_type=DocumentType.RULES)
    event = Event.objects.get(type=EventType.DOCUMENT_CREATED)
    assert event.payload == {"id": document.pk, "version": 1, "title": "Rules"}


def test_the_hash_follows_the_text(project: Project) -> None:
    document = create(project, body="grün")
    assert document.content_hash == digest("grün")
    assert update_document(document, actor=ACTOR, body="blau").content_hash == digest("blau")
    assert update_document(document, actor=ACTOR, title="Other").content_hash == digest("blau")


def test_a_change_names_what_changed(project: Project) -> None:
    document = update_document(create(project), actor=ACTOR, title="Laws", is_mandatory=True)
    event = Event.objects.get(type=EventType.DOCUMENT_UPDATED)
    assert event.payload == {"id": document.pk, "version": 2, "fields": ["is_mandatory", "title"]}


def test_the_same_text_again_is_no_change(project: Project) -> None:
    assert update_document(create(project, body="x"), actor=ACTOR, body="x").version == 1


def test_a_stale_change_is_refused(project: Project) -> None:
    document = create(project)
    stale = Document.objects.get()
    update_document(document, actor=ACTOR, body="First")
    with pytest.raises(VersionConflict):
        update_document(stale, actor=ACTOR, body="Second")
    assert (Document.objects.get().body, Document.objects.get().content_hash) == ("First", digest("First"))


def test_a_path_is_taken_once_per_project(project: Project, tmp_path: Path) -> None:
    create(project)
    with pytest.raises(NameTaken):
        create(project)
    create(make_project(tmp_path / "other"))
    assert Document.objects.count() == 2


def test_a_document_cannot_move_to_a_path_that_is_taken(project: Project) -> None:
    create(project)
    other = create(project, "other.md")
    with pytest.raises(NameTaken, match="path"):
        update_document(other, actor=ACTOR, path="rules.md")
    assert Document.objects.get(pk=other.pk).path == "other.md"
    assert update_document(other, actor=ACTOR, path="third.md").path == "third.md"


def test_a_document_needs_a_path(project: Project) -> None:
    with pytest.raises(Invalid, match="path"):
        create(project, "")
    assert not Document.objects.exists()


def test_a_document_goes_with_what_was_said_about_it(project: Project) -> None:
    document, kept = create(project), create(project, "kept.md")
    said = create_comment(body="Why?", author=ACTOR, actor=ACTOR, document=document)
    delete_document(document, actor=ACTOR, expected_version=1)
    assert list(Document.objects.all()) == [kept]
    gone = Event.objects.filter(type__endswith=".deleted").order_by("id")
    assert [(event.type, event.project_id, event.payload) for event in gone] == [
        (EventType.COMMENT_DELETED, project.pk, {"id": said.pk}),
        (EventType.DOCUMENT_DELETED, project.pk, {"id": document.pk}),
    ]


def test_a_document_that_is_gone_is_deleted_without_a_word(project: Project) -> None:
    document = create(project)
    delete_document(document, actor=ACTOR)
    delete_document(document, actor=ACTOR)
    assert Event.objects.filter(type=EventType.DOCUMENT_DELETED).count() == 1


def test_a_document_that_was_changed_since_is_not_deleted(project: Project) -> None:
    document = create(project)
    update_document(document, actor=ACTOR, body="Newer")
    with pytest.raises(VersionConflict) as refusal:
        delete_document(document, actor=ACTOR, expected_version=1)
    assert refusal.value.data == {"version": 2}
    assert Document.objects.exists()


@pytest.mark.parametrize(
    "path", ["../x.md", "/etc/passwd", "docs/../../x", "docs//x.md", "./x.md", "docs/", "a\nb", "a\\b"]
)
def test_a_path_that_does_not_lie_below_the_repository_is_refused(project: Project, path: str) -> None:
    document = create(project)
    with pytest.raises(PathOutside):
        create(project, path=path)
    with pytest.raises(PathOutside):
        update_document(document, actor=ACTOR, path=path)


def test_a_path_may_have_folders_spaces_and_dots(project: Project) -> None:
    assert create(project, path=".github/how to..md").path == ".github/how to..md"
