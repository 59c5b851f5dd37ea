"""What the inbox is told about a whole project, not about one run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.utils import timezone

from events import services as events
from inbox import services as inbox
from inbox.models import InboxItem
from inbox.states import ItemType
from orchestration.models import Project, Task
from orchestration.states import AgentStatus

# An alert that was dismissed comes again only after this, though its cause is still there.
_QUIET = timedelta(days=1)


@events.unit_of_work()
def alert_missing_clients(missing: Mapping[str, Exception], *, actor: str) -> None:
    """Say in each project with tasks to start that the agents of these providers cannot work on this host."""
    for provider, error in missing.items():
        for project in _staffed_with(provider):
            # Locked, so that it is not deleted before the item that points to it is there.
            due = Task.objects.due(timezone.now()).select_for_update(of=("self",), no_key=True, skip_locked=True)
            task = due.filter(project=project).first()
            key = f"no-client:{project.pk}:{provider}"
            if task is not None and not _was_said(project, key):
                inbox.ask(
                    ItemType.ALERT,
                    task=task,
                    title=f"No client for the agents of {project.name}",
                    content=f"{error} Its tasks wait until then; nothing has failed.",
                    dedupe_key=key,
                    actor=actor,
                )


def _staffed_with(provider: str) -> list[Project]:
    active = Project.objects.filter(agents__provider=provider, agents__status=AgentStatus.ACTIVE)
    return list(active.filter(is_paused=False, is_archived=False).distinct())


def _was_said(project: Project, key: str) -> bool:
    return InboxItem.objects.filter(project=project, dedupe_key=key, created_at__gt=timezone.now() - _QUIET).exists()
