"""`manage.py initialise`: create or upgrade the database, and a first administrator."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from beebeebrain import initialise


class Command(BaseCommand):
    help = "Create or upgrade the database and, where there is none, an administrator with a one-time password."

    def handle(self, *args: Any, **options: Any) -> None:
        initialise.migrate()
        if password := initialise.ensure_admin():
            self.stdout.write(f"Login: {initialise.ADMIN}   One-time password: {password}")
        self.stdout.write("The database is ready.")
