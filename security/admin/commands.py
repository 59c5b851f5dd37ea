"""The stored answers to commands that came with an Idempotency-Key."""

from __future__ import annotations

import json

from django.contrib import admin
from django.utils.safestring import SafeString

from security.admin.base import ReadOnlyAdmin
from security.admin.shown import pretty_json
from security.models import IdempotentCommand
from security.roles import Role


@admin.register(IdempotentCommand)
class IdempotentCommandAdmin(ReadOnlyAdmin[IdempotentCommand]):
    read_role = Role.ADMIN
    list_display = ("scope", "key", "status_code", "expires_at")
    list_filter = ("status_code",)
    search_fields = ("scope", "key")
    ordering = ("-id",)
    fields = ("scope", "key", "fingerprint", "status_code", "answer", "expires_at")
    readonly_fields = ("answer",)

    @admin.display(description="answer")
    def answer(self, command: IdempotentCommand) -> SafeString:
        return pretty_json(json.loads(command.body or "null"))
