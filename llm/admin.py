"""The cost ledger and the breakers, to read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from llm.models import Breaker, UsageDaily
from llm.states import BreakerState
from security.admin.base import ReadOnlyAdmin, labelled
from security.admin.shown import usd

COLOURS = {BreakerState.CLOSED: "success", BreakerState.OPEN: "danger", BreakerState.HALF_OPEN: "warning"}


@admin.register(UsageDaily)
class UsageDailyAdmin(ReadOnlyAdmin[UsageDaily]):
    project_path = "project_id"
    list_display: Any = (
        "date",
        "provider",
        "model",
        "project_id",
        "runs",
        "requests",
        "tokens_in",
        "tokens_out",
        "tokens_cached",
        "cost",
    )
    list_filter: ClassVar[Any] = ("provider", "model")
    search_fields = ("provider", "model")
    date_hierarchy = "date"
    ordering = ("-date",)
    list_before_template = "admin/llm/usagedaily/total.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list under the sum of what it holds."""
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            response.context_data["total"] = total(response.context_data["cl"].queryset)
        return response

    @admin.display(description="runs", ordering="run_count")
    def runs(self, row: UsageDaily) -> str:
        return f"{row.run_count:,}"

    @admin.display(description="requests", ordering="request_count")
    def requests(self, row: UsageDaily) -> str:
        return f"{row.request_count:,}"

    @admin.display(description="tokens in", ordering="token_in")
    def tokens_in(self, row: UsageDaily) -> str:
        return f"{row.token_in:,}"

    @admin.display(description="tokens out", ordering="token_out")
    def tokens_out(self, row: UsageDaily) -> str:
        return f"{row.token_out:,}"

    @admin.display(description="cache read / write")
    def tokens_cached(self, row: UsageDaily) -> str:
        return f"{row.token_cache_read:,} / {row.token_cache_write:,}"

    @admin.display(description="cost", ordering="cost_usd")
    def cost(self, row: UsageDaily) -> str:
        return usd(row.cost_usd)


@admin.register(Breaker)
class BreakerAdmin(ReadOnlyAdmin[Breaker]):
    list_display: Any = ("provider", "fingerprint", "shown_state", "reset_at", "code", "opened_at")
    list_filter: ClassVar[Any] = ("provider",)
    search_fields = ("provider", "fingerprint", "message")
    ordering = ("-id",)
    fields = (
        "provider",
        "fingerprint",
        "shown_state",
        "opened_at",
        "reset_at",
        "code",
        "message",
        "trial_run_id",
        "trial_at",
    )
    readonly_fields = ("shown_state",)

    @labelled("state", COLOURS, ordering="reset_at")
    def shown_state(self, breaker: Breaker) -> tuple[str, str]:
        return breaker.state, breaker.state.label


def total(rows: QuerySet[UsageDaily]) -> str:
    """Return what the rows come to, in words."""
    sums = rows.aggregate(cost=Sum("cost_usd"), runs=Sum("run_count"), read=Sum("token_in"), written=Sum("token_out"))
    cost = sums["cost"] or Decimal(0)
    runs, read, written = (sums[name] or 0 for name in ("runs", "read", "written"))
    return f"{usd(cost)}, {runs:,} runs, {read:,} tokens in, {written:,} out"
