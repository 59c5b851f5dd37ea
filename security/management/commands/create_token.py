"""`manage.py create_token`: a token for a program, shown once."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from security.roles import SCOPES
from security.services import create_token


class Command(BaseCommand):
    help = "Make an API token for a user and print it, this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="whose token it is; it never may more than this user")
        parser.add_argument("--name", required=True, help="what it is for")
        parser.add_argument("--scope", required=True, choices=sorted(SCOPES), help="what it allows at most")
        parser.add_argument(
            "--project", type=int, action="append", help="the id of a project it is for; several times for several"
        )
        parser.add_argument("--days", type=int, help="how long it lasts; without it, until it is revoked")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']!r}.", returncode=2)
        name = options["name"]
        if not 0 < len(name) <= 100:
            raise CommandError("--name takes 1 to 100 characters.", returncode=2)
        days = options["days"]
        if days is not None and not 0 < days <= 3650:
            raise CommandError("--days takes 1 to 3650.", returncode=2)
        projects = options["project"]
        if projects is not None and min(projects) < 1:
            raise CommandError("--project takes the id of a project.", returncode=2)
        expires_at = timezone.now() + timedelta(days=days) if days is not None else None
        _, text = create_token(
            user,
            name=name,
            scopes=[options["scope"]],
            expires_at=expires_at,
            project_ids=projects,
            actor="system:create_token",
        )
        self.stdout.write(text)
