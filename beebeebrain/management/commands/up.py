"""`manage.py up`: web and scheduler in the foreground, one Ctrl-C for both."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from beebeebrain import initialise
from beebeebrain.foreground import (
    PortTaken,
    ServiceDied,
    Services,
    environment,
    require_free,
    scheduler_command,
    web_command,
)
from beebeebrain.web import SERVERS
from runtime import clients, schedulers


class Command(BaseCommand):
    help = "Run web and scheduler together until Ctrl-C. Agents at work go on and are adopted at the next start."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the web on 127.0.0.1 (8000)")
        parser.add_argument("--server", choices=SERVERS, default=SERVERS[0], help="what serves the web (uvicorn)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options["port"], options["server"])
        except (PortTaken, schedulers.SecondHost, clients.ClientsMissing) as refused:
            raise CommandError(str(refused), returncode=2) from None
        except ServiceDied as died:
            raise CommandError(f"{died} Its last lines above say why.") from None

    def _run(self, port: int, server: str) -> None:
        require_free(port)
        initialise.migrate()
        schedulers.refuse_second_host()
        clients.require()
        password = initialise.ensure_admin()
        services = Services(environment())
        with services.running():
            services.start("web", web_command(port, server))
            services.start("scheduler", scheduler_command())
            services.wait_until_answering(f"http://127.0.0.1:{port}/healthz")
            self._greet(port, password)
            while not services.wait(0.5):
                pass
            self.stdout.write("Stopping. Agents at work go on.")

    def _greet(self, port: int, password: str | None) -> None:
        self.stdout.write(f"\nBeeBeeBrain is at http://127.0.0.1:{port}/   data: {settings.BBB_HOME}")
        if password:
            self.stdout.write(f"Login: {initialise.ADMIN}   One-time password: {password}   (shown this once)")
        self.stdout.write("Ctrl-C stops it.\n")
        self.stdout.flush()
