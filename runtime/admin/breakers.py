"""The reset of a breaker, which the inbox hears of: so the page is registered once more, here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from llm import admin as llm
from llm.models import Breaker
from llm.states import BreakerState
from orchestration.admin.bulk import command_rows
from runtime.services.breaking import reset_breaker
from security.admin.base import DialogForm, back_to, detail_action, found
from security.roles import Role

admin.site.unregister(Breaker)


@admin.register(Breaker)
class BreakerAdmin(llm.BreakerAdmin):
    write_role = Role.ADMIN
    actions = ("reset",)
    actions_detail = ("reset_one",)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Offer to reset what is not closed."""
        breaker = self.get_object(request, object_id)
        is_closed = breaker is None or breaker.state == BreakerState.CLOSED
        return [] if is_closed else super().get_actions_detail(request, object_id)

    @admin.action(description="Reset", permissions=["operate"])
    def reset(self, request: HttpRequest, queryset: QuerySet[Breaker]) -> None:
        command_rows(request, queryset, reset_breaker, "reset")

    @detail_action(
        "Reset",
        icon="restart_alt",
        title="Let everything start again?",
        text="If the limit still holds, the next answer of the provider opens the breaker again.",
    )
    def reset_one(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        breaker = found(self, request, object_id)
        command_rows(request, [breaker], reset_breaker, "reset")
        return back_to(request, breaker)
