from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


class SecurityConfig(AppConfig):
    name = "security"
    verbose_name = "Security"

    def ready(self) -> None:
        post_migrate.connect(_grant_roles, dispatch_uid="security.grants")


def _grant_roles(sender: AppConfig, using: str, apps: Apps = apps, **_: Any) -> None:
    """Behind the migrations, when the last app has its permissions. Nothing but this signal tells when that is."""
    from security.grants import grant_roles

    if sender.name == _last_app():
        grant_roles(apps, using=using)


def _last_app() -> str:
    """Return the app that Django comes to last; it leaves out those without models."""
    return [config.name for config in apps.get_app_configs() if config.models_module][-1]
