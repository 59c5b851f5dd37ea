"""`manage.py runweb`: the web process, as in production."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from beebeebrain import web


class Command(BaseCommand):
    help = "Serve the API, the admin and the streams. SIGTERM: end what is under way, tell open streams, stop."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
        parser.add_argument("--server", choices=web.SERVERS, default=web.SERVERS[0], help="what serves (uvicorn)")

    def handle(self, *args: Any, **options: Any) -> None:
        web.serve(options["server"], host=options["host"], port=options["port"])
