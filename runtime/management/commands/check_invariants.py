"""`manage.py check_invariants`: the auditor."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from runtime import invariants
from runtime.services.repairs import mend


class Command(BaseCommand):
    help = (
        "Count anew what the tables promise each other, also while schedulers work, and report each difference. "
        "Exit 0: none (left); 1: there are some."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="mend counters and slots; report what is left")
        parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        found = left = invariants.differences()
        if options["repair"] and found:
            mend(found, actor="command:check_invariants")
            left = invariants.differences()
        mended = [difference for difference in found if difference not in left]
        if options["json"]:
            told = {"differences": [asdict(one) for one in left], "mended": [asdict(one) for one in mended]}
            self.stdout.write(json.dumps(told))
        else:
            self._tell([*(f"mended: {one}" for one in mended), *map(str, left)])
        if left:
            sys.exit(1)

    def _tell(self, lines: list[str]) -> None:
        for line in lines or ["Everything holds."]:
            self.stdout.write(line)
