"""Two versions side by side: an upgrade migrates the database while schedulers of the version before still work.

Migrations only add, so these can finish what they have. What the new version starts they may not understand, so they
begin nothing more.
"""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from sql.prepared import PreparedQuery

_newest_migration = PreparedQuery(
    lambda: MigrationRecorder(connection).migration_qs.order_by("-pk").values_list("pk", "app", "name")[:1]
)


def is_database_newer() -> bool:
    """Tell whether a newer version has migrated the database beyond this code. One query, mostly."""
    newest = _newest_migration()
    return bool(_unknown(newest[0] if newest else None))


@cache
def _unknown(last: tuple[int, str, str] | None) -> tuple[str, ...]:
    """Return the migrations of ours that were applied, the last of all being `last`, and are not in this code."""
    applied = MigrationRecorder(connection).migration_qs.filter(app__in=settings.OUR_APPS)
    known = MigrationLoader(None).disk_migrations or {}
    replaced = {pair for migration in known.values() for pair in migration.replaces}
    found = set(applied.values_list("app", "name"))
    return tuple(sorted(f"{app}.{name}" for app, name in found - known.keys() - replaced))
