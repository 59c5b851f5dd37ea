"""The admin's pages for what is done: runs, their logs, the capacity, and commands to tasks."""

from __future__ import annotations

from runtime.admin.agents import AgentAdmin
from runtime.admin.breakers import BreakerAdmin
from runtime.admin.capacity import DutyAdmin, SchedulerInstanceAdmin, SlotAdmin
from runtime.admin.events import EventAdmin
from runtime.admin.inbox import InboxItemAdmin
from runtime.admin.lines import RunLogAdmin
from runtime.admin.projects import ProjectAdmin
from runtime.admin.runs import TaskRunAdmin
from runtime.admin.tasks import TaskAdmin
from runtime.admin.usage import UsageDailyAdmin

__all__ = [
    "AgentAdmin",
    "BreakerAdmin",
    "DutyAdmin",
    "EventAdmin",
    "InboxItemAdmin",
    "ProjectAdmin",
    "RunLogAdmin",
    "SchedulerInstanceAdmin",
    "SlotAdmin",
    "TaskAdmin",
    "TaskRunAdmin",
    "UsageDailyAdmin",
]
