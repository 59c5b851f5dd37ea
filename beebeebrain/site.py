"""The admin's site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse
from unfold.sites import UnfoldAdminSite


class Admin(AdminConfig):
    """The admin, with our site. Not the configuration of this package."""

    default = False
    default_site = "beebeebrain.site.Site"


class Site(UnfoldAdminSite):  # type: ignore[misc]
    """Unfold's site, where also who changes the own password leaves a record."""

    index_title = "Dashboard"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        # Django's own deletion of what is selected knows no service.
        self.disable_action("delete_selected")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Models are there only once all apps are loaded, and this module is needed before.
        from security.accounts import password_watched
        from security.identity import actor_of

        change: Callable[..., HttpResponse] = super().password_change
        if request.method != "POST" or request.user.pk is None:
            return change(request, extra_context)
        with password_watched(request.user.pk, actor=actor_of(request)):
            return change(request, extra_context)
