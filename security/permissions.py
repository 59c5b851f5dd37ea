from __future__ import annotations

from rest_framework.permissions import IsAuthenticated as RolePermission  # noqa: F401
