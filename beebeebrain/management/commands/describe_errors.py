"""`manage.py describe_errors`: print docs/errors.md."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from beebeebrain import codes


class Command(BaseCommand):
    help = "Print docs/errors.md, as the code has it."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(codes.document(), ending="")
