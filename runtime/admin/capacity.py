"""Who may start runs, and how many."""

from __future__ import annotations

from django.contrib import admin

from runtime.models import Duty, SchedulerInstance, Slot
from security.admin.base import ReadOnlyAdmin


@admin.register(Slot)
class SlotAdmin(ReadOnlyAdmin[Slot]):
    list_display = ("key", "running", "cap")
    search_fields = ("key",)
    ordering = ("key",)


@admin.register(SchedulerInstance)
class SchedulerInstanceAdmin(ReadOnlyAdmin[SchedulerInstance]):
    list_display = ("id", "host_id", "pid", "started_at", "heartbeat_at", "is_draining")
    list_filter = ("is_draining",)
    search_fields = ("id", "host_id")
    ordering = ("-heartbeat_at",)


@admin.register(Duty)
class DutyAdmin(ReadOnlyAdmin[Duty]):
    list_display = ("name", "owner", "until", "due_at")
    search_fields = ("name", "owner")
    ordering = ("name",)
