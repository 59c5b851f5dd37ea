"""How pages show values: texts, data, money, times, links."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString


def pretty_json(value: Any) -> SafeString:
    """Return data as indented JSON for a page."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return format_html('<pre class="bbb-text text-xs">{}</pre>', text)


def prose(text: str) -> SafeString | str:
    """Return a text of several lines for a page."""
    if not text:
        return "-"
    return format_html('<div class="bbb-text">{}</div>', text)


def usd(amount: Decimal | None, digits: int = 2) -> str:
    """Return an amount of money for a page."""
    return "-" if amount is None else f"${amount:,.{digits}f}"


def counted_limit(project_ids: list[int] | None) -> str:
    """Return in words to how many projects somebody is limited; None: to none of them."""
    if project_ids is None:
        return "all projects"
    return "1 project" if len(project_ids) == 1 else f"{len(project_ids) or 'no'} projects"


def changelist_url(model: type[Model], **filters: str | int) -> str:
    """Return the address of a model's list, with filters."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


def page_url(model: type[Model], pk: object) -> str:
    """Return the address of the page of a row."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


def link(url: str, text: object) -> SafeString:
    """Return a link for a page."""
    return format_html('<a class="text-link" href="{}">{}</a>', url, text)


def took(start: datetime | None, end: datetime | None) -> str:
    """Return how long something took, or has taken up to now, as 1:02:03."""
    if start is None:
        return "-"
    seconds = max(0, round(((end or timezone.now()) - start).total_seconds()))
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
