from __future__ import annotations

from rest_framework.authentication import TokenAuthentication as ApiTokenAuthentication  # noqa: F401
