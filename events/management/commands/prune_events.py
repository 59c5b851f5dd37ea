"""`manage.py prune_events`: remove events that are older than the settings say."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from events import retention


class Command(BaseCommand):
    help = (
        "Remove events older than BBB_KEEP_PROGRESS_DAYS and BBB_KEEP_EVENTS_DAYS, in small batches between which others write. "
        "The scheduler does the same by and by. Control events go in whole batches only."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many of each type would go")
        parser.add_argument("--batch", type=int, default=retention.BATCH, help="events in one transaction")
        parser.add_argument("--pause-s", type=float, default=retention.PAUSE_S, help="seconds between two batches")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self._preview()
            return
        pruned = retention.prune(actor="command:prune_events", batch=options["batch"], pause_s=options["pause_s"])
        self.stdout.write(f"{pruned} events are removed.")

    def _preview(self) -> None:
        due = retention.due()
        for type_, count in sorted(due.items()):
            self.stdout.write(f"{type_:30} {count:>10}")
        self.stdout.write(f"{due.total()} events would be removed; nothing is.")
