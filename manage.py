#!/usr/bin/env python
"""Django's command line."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError, connection


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "beebeebrain.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(_refused(str(error)))
    except DatabaseError:
        if not _is_without_tables():
            raise
        where = connection.settings_dict["NAME"]
        sys.exit(
            _refused(
                f"There is nothing in the database {where} yet. `make run` or `manage.py initialise` sets it up; "
                "BBB_HOME or DATABASE_URL says where another one is."
            )
        )


def _is_without_tables() -> bool:
    """Tell whether the database answers, and was never migrated."""
    try:
        return "django_migrations" not in connection.introspection.table_names()
    except DatabaseError:
        return False


def _refused(reason: str) -> int:
    """Say in one line what is wrong."""
    sys.stderr.write(f"bbb: {reason}\n")
    return 2


if __name__ == "__main__":
    main()
