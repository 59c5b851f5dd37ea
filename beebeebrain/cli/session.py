"""The way to the API: loaded when it is taken, since help and completion need none."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from beebeebrain.cli import config

if TYPE_CHECKING:
    from beebeebrain.cli.api import Api


def connect(login: config.Login | None = None) -> Api:
    """Return a client for a login, or for the one in use. Raises NotLoggedIn, Misuse."""
    chosen = login or config.current()
    from beebeebrain.cli.api import Api

    # All is loaded now (see __main__), and following may take days.
    gc.enable()
    return Api(chosen)
