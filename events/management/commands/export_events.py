"""`manage.py export_events`: the event log as JSON Lines, on standard output."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand

from events.export import lines
from events.states import EventType


def known(type_: str) -> str:
    """Return a type, or what types begin with; anything else would export nothing."""
    if type_ in EventType.values or (type_.endswith(".") and any(each.startswith(type_) for each in EventType)):
        return type_
    raise ArgumentTypeError(f"there is no type {type_}; docs/events.md lists them")


class Command(BaseCommand):
    help = "Print events as JSON Lines, the oldest first, with their places in the audit chain."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--after", type=int, default=0, metavar="CURSOR", help="only what came after this event")
        parser.add_argument("--until", type=int, metavar="CURSOR", help="nothing that came after this event")
        parser.add_argument(
            "--type",
            action="append",
            type=known,
            dest="types",
            metavar="TYPE",
            help="only this type (may be repeated; `task.` is all that begin so)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for line in lines(after=options["after"], until=options["until"], types=options["types"]):
            self.stdout.write(line.decode(), ending="")
