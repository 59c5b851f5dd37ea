#!/usr/bin/env python
"""Django's command line."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "beebeebrain.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(_refused(error))


def _refused(error: ImproperlyConfigured) -> int:
    """Say in one line which setting is wrong."""
    sys.stderr.write(f"bbb: {error}\n")
    return 2


if __name__ == "__main__":
    main()
