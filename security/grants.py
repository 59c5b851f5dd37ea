"""The groups of the roles, with the permissions of Django's own that fit them.

Our endpoints and pages ask for the role alone. A page or an endpoint out of somebody else's package asks for
permissions, and gets the same answer. Django makes permissions behind the migrations, so this is done there as well
(`apps.py`), each time: a model of a later migration is covered without further ado.
"""

from __future__ import annotations

from typing import Any

from django.apps.registry import Apps
from django.conf import settings

from security.roles import Role

# Of Django's own accounts; they are deactivated, never deleted.
_ACCOUNTS = {("user", "view"), ("user", "add"), ("user", "change"), ("group", "view"), ("permission", "view")}


def grant_roles(apps: Apps, *, using: str) -> None:
    """Make each role's group hold exactly its permissions, for the models there are now. Safe to repeat."""
    if "group" not in apps.all_models["auth"]:
        # Only some apps were migrated; accounts are not among them yet.
        return
    groups = apps.get_model("auth", "Group")._default_manager.using(using)
    permissions = apps.get_model("auth", "Permission")._default_manager.using(using)
    ours = permissions.filter(content_type__app_label__in=[*settings.OUR_APPS, "auth"]).select_related("content_type")
    for role in Role:
        # Historical models, so that there are no types.
        group: Any = groups.get_or_create(name=role.group)[0]
        group.permissions.set([permission for permission in ours if _holds(role, permission)])


def _holds(role: Role, permission: Any) -> bool:
    """Tell whether a role holds a permission, which is called `change_task`."""
    app, model = permission.content_type.app_label, permission.content_type.model
    action = permission.codename.removesuffix(f"_{model}")
    if app == "auth":
        return role is Role.ADMIN and (model, action) in _ACCOUNTS
    if role is Role.ADMIN:
        return True
    # Credentials, and what was done with them.
    if app == "security":
        return False
    return action == "view" or (role is Role.OPERATOR and action in settings.OPERATED.get(f"{app}.{model}", ()))
