"""`manage.py verify_audit`: whether anybody has changed, removed or swapped control events."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.chain import Link
from events.verification import verify


def noted(text: str) -> Link:
    """Return an end of the chain as this command printed it."""
    seq, _, hash_ = text.partition(":")
    if not (seq.isascii() and seq.isdecimal() and len(hash_) == 64):
        raise ArgumentTypeError("an end of the chain is SEQ:HASH, as this command prints it")
    return Link(int(seq), hash_)


class Command(BaseCommand):
    help = "Verify the audit chain of the event log. Exit status 1 and the first break when it does not hold."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--expect",
            type=noted,
            metavar="SEQ:HASH",
            help="an end that was noted earlier: shows whether a later one is missing",
        )
        parser.add_argument(
            "--accept-outside",
            action="store_true",
            help="accept control events outside the chain: a process of a version without it has written them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = verify(expected=options["expect"], accept_outside=options["accept_outside"])
        if found.broken:
            raise CommandError(f"The audit chain is broken after {found.checked} events. {found.broken}.")
        self.stdout.write(f"The audit chain holds: {found.checked} events, from {found.first.seq + 1} to the end")
        # To be noted elsewhere, and given to --expect the next time.
        self.stdout.write(str(found.last))
