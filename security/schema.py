"""How the API's description speaks of our logins. Imported by what describes the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular import authentication as drf
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class SessionScheme(drf.SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "security.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        said = "A browser's login. Whatever is no GET also needs the cookie `csrftoken`, sent back as the header `X-CSRFToken`."
        return {**super().get_security_definition(auto_schema), "description": said}  # type: ignore[no-untyped-call]


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "security.authentication.ApiTokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API token: from `POST /tokens`, the admin, or `manage.py create_token`.",
        }
