"""The admin's pages for what is done: runs, their logs, the capacity, and commands to tasks."""

from __future__ import annotations

from runtime.admin.agents import AgentAdmin
from runtime.admin.capacity import SchedulerInstanceAdmin, SlotAdmin
from runtime.admin.inbox import InboxItemAdmin
from runtime.admin.runs import RunLogAdmin, TaskRunAdmin
from runtime.admin.tasks import TaskAdmin

__all__ = [
    "AgentAdmin",
    "InboxItemAdmin",
    "RunLogAdmin",
    "SchedulerInstanceAdmin",
    "SlotAdmin",
    "TaskAdmin",
    "TaskRunAdmin",
]
