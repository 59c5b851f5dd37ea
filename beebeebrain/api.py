"""What every endpoint shares: paging and the table from our errors to HTTP."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class CursorPage(CursorPagination):
    ordering = "-id"
