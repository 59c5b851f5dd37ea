"""`manage.py describe_events`: print what is known of events: a page, their JSON Schema, or types for TypeScript."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from events.document import FORMATS


class Command(BaseCommand):
    help = "Print docs/events.md, docs/events.schema.json or docs/events.d.ts, as the code has it."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=sorted(FORMATS), default="markdown")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(FORMATS[options["format"]](), ending="")
