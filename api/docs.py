"""The API's description as a page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponseBase
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.exceptions import NotAuthenticated


class DocsView(SpectacularSwaggerView):
    """Swagger UI, from files of our own. Who has not logged in is sent there first."""

    # The page is no answer to OPTIONS.
    http_method_names = ("get", "head")

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, NotAuthenticated):
            asked: HttpResponseBase = redirect_to_login(self.request.get_full_path())
            return asked
        return super().handle_exception(exc)
