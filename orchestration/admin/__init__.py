"""The admin's pages for what is decided. Whoever saves here calls the same services as everybody else."""

from __future__ import annotations

from orchestration.admin.access import ApiTokenAdmin, UserAdmin
from orchestration.admin.agents import AgentAdmin
from orchestration.admin.documents import CommentAdmin, DocumentAdmin
from orchestration.admin.projects import ProjectAdmin
from orchestration.admin.tasks import TaskAdmin

__all__ = [
    "AgentAdmin",
    "ApiTokenAdmin",
    "CommentAdmin",
    "DocumentAdmin",
    "ProjectAdmin",
    "TaskAdmin",
    "UserAdmin",
]
