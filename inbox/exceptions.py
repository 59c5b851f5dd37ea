"""What the asking side refuses."""

from __future__ import annotations

from orchestration.exceptions import Conflict, Invalid


class ItemClosed(Conflict):
    """The item is closed already. Nothing is left to do."""

    code = "item_closed"


class UserInputRequired(Invalid):
    """An answer is needed. Send it as `user_input`."""

    code = "user_input_required"


class ActionNotOffered(Invalid):
    """An item of this type cannot be closed that way. Choose an action it offers."""

    code = "action_not_offered"
