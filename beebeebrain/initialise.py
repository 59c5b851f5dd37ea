"""First start: the database as the code wants it, and somebody who may log in. Safe to repeat."""

from __future__ import annotations

import secrets

from django.contrib.auth import get_user_model
from django.core.management import call_command

ADMIN = "admin"


def migrate() -> None:
    """Bring the database to the present schema."""
    call_command("migrate", interactive=False, verbosity=0)


def ensure_admin() -> str | None:
    """Make a first administrator where there is none, and return the one-time password to show."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(12)
    users.create_superuser(username=ADMIN, password=password)
    return password
