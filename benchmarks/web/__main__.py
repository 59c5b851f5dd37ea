"""Migrate this environment's database, fill it, and print what is in it: `python -m benchmarks.web SIZE`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import django
from django.core.management import call_command

if __name__ == "__main__":
    django.setup()
    # What follows needs the models.
    from benchmarks.web.rows import fill

    call_command("migrate", verbosity=0)
    sys.stdout.write(json.dumps(asdict(fill(int(sys.argv[1])))))
