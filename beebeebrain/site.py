"""The admin's site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.http import HttpRequest, HttpResponse
from unfold.sites import UnfoldAdminSite


class Admin(SimpleAdminConfig):
    """The admin, with our site. Not the configuration of this package.

    The pages are loaded by `beebeebrain/urls.py`, or to be checked: to load them is a good part of a start, and a
    scheduler shows none.
    """

    default = False
    default_site = "beebeebrain.site.Site"

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(app_configs: Any, **more: Any) -> list[checks.CheckMessage]:
    admin.autodiscover()
    return check_admin_app(app_configs, **more)


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
