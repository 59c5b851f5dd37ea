"""The admin's pages for accounts and credentials; `base` is what all pages share."""

from __future__ import annotations

from security.admin.accounts import GroupAdmin, UserAdmin
from security.admin.commands import IdempotentCommandAdmin
from security.admin.tokens import ApiTokenAdmin

__all__ = ["ApiTokenAdmin", "GroupAdmin", "IdempotentCommandAdmin", "UserAdmin"]
