"""`manage.py prune_runs`: remove what the settings say is to go of runs that are over."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from runtime import retention


class Command(BaseCommand):
    help = (
        "Remove log lines of runs that ended more than BBB_KEEP_RUN_LOGS_DAYS ago; compress and remove run directories on this "
        "host as BBB_COMPRESS_RUN_FILES_DAYS and BBB_KEEP_RUN_FILES_DAYS say. The scheduler does the same by and by."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would go, and what would be compressed"
        )
        parser.add_argument("--batch", type=int, default=retention.BATCH, help="lines in one transaction")
        parser.add_argument("--pause-s", type=float, default=retention.PAUSE_S, help="seconds between two batches")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self._preview()
            return
        pruned = retention.prune_lines(batch=options["batch"], pause_s=options["pause_s"])
        self.stdout.write(f"{pruned} lines are removed.")
        for care in retention.cares():
            done = 0
            while count := care.take():
                done += count
            self.stdout.write(f"The directories of {done} runs are {care.name}.")

    def _preview(self) -> None:
        self.stdout.write(f"{retention.old_lines().order_by().count()} lines would be removed.")
        for care in retention.cares():
            for run, directories in care.due():
                for directory in directories:
                    self.stdout.write(f"{directory.path} would be {care.name}: run {run.pk} ended {run.ended_at}")
        self.stdout.write("Nothing is changed.")
