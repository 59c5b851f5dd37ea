"""What the asking side refuses."""

from __future__ import annotations

from orchestration.exceptions import Conflict, Invalid


class ItemClosed(Conflict):
    """The item is closed already."""

    code = "item_closed"


class UserInputRequired(Invalid):
    """An answer is needed: send user_input."""

    code = "user_input_required"


class ActionNotOffered(Invalid):
    """An item of this type cannot be closed that way."""

    code = "action_not_offered"
