"""The admin's pages for accounts and credentials; `base` is what all pages share."""

from __future__ import annotations

from security.admin import accounts, commands, tokens

__all__ = ["accounts", "commands", "tokens"]
