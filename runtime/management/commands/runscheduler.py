"""`manage.py runscheduler`: the dispatch loop."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from runtime import clients
from runtime.clients import ClientsMissing
from runtime.database import DATABASE_AWAY
from runtime.dispatcher import Dispatcher
from runtime.schedulers import SecondHost


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("a whole number above 0 is expected")
    return int(text)


class Command(BaseCommand):
    help = (
        "Claim, start, supervise and finish runs. SIGTERM: stop claiming and leave, agents go on; twice: stop them too."
    )
    # They load every page and address of the web, and look at our code, which `make test` does.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="run until nothing is left to do, then exit")
        parser.add_argument("--max-runs", type=positive, help="start so many runs at most, then exit")
        parser.add_argument("--stop-agents", action="store_true", help="stop the agents when the scheduler stops")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            clients.require()
            dispatcher = Dispatcher(max_runs=options["max_runs"], stop_agents=options["stop_agents"])
        except (SecondHost, ClientsMissing) as refused:
            raise CommandError(str(refused), returncode=2) from None
        except DATABASE_AWAY as error:
            message = (
                f"The database does not answer: {error}. See that it runs and DATABASE_URL is right; then start again."
            )
            raise CommandError(message, returncode=1) from None
        dispatcher.run(once=options["once"])
