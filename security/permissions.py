"""What a role may do over the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from security.identity import may_write_events, role_in
from security.roles import Role

if TYPE_CHECKING:
    # The settings name this module, and the views read the settings.
    from rest_framework.views import APIView


class RolePermission(BasePermission):
    """Reading needs a viewer; anything else what the view's `write_role` says, an operator if it says nothing."""

    message = "You have no role here. An administrator puts you into the group viewer, operator or admin."

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = Role.VIEWER if request.method in SAFE_METHODS else getattr(view, "write_role", Role.OPERATOR)
        role = role_in(request)
        if role is not None and role < needed:
            self.message = f"This needs the role {needed.group}; yours is {role.group}."
        return role is not None and role >= needed


class EventPermission(RolePermission):
    """Reading events needs a viewer; writing them an operator, whose token may have the scope `events` alone."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.method in SAFE_METHODS:
            return super().has_permission(request, view)
        self.message = "Writing events needs the role operator, and of a token the scope events or write."
        return may_write_events(request)
