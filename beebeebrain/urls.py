"""Every address of the web. Paths of the API have no slash at their end."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from api import accounts
from api.docs import DocsView
from beebeebrain import health

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("admin/", admin.site.urls),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs", DocsView.as_view(url_name="schema"), name="docs"),
    path("api/v1/me", accounts.MeView.as_view(), name="me"),
    path("api/v1/", include(accounts.router.urls)),
    path("api/v1/", include("orchestration.urls")),
    path("api/v1/", include("inbox.urls")),
    # Before the runtime's, which has an address for each event: `stream` is no id.
    path("api/v1/", include("events.urls")),
    path("api/v1/", include("runtime.urls")),
]

handler400 = "beebeebrain.errors.bad_request"
handler403 = "beebeebrain.errors.permission_denied"
handler404 = "beebeebrain.errors.not_found"
handler500 = "beebeebrain.errors.server_error"
