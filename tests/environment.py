"""An environment for tests and measurements, in which nothing of this machine's configuration shows."""

from __future__ import annotations

import os
from pathlib import Path

# What would change the product's, git's or the agent client's behaviour from outside.
FOREIGN = ("ANTHROPIC_", "BBB_", "CLAUDE", "DJANGO_", "GIT_", "LOG_")


def isolate(folder: Path, **more: str) -> None:
    """Give this process and its children a home and a data folder below `folder`.

    DATABASE_URL and REDIS_URL are kept: they choose what is tested.
    """
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    (folder / "user").mkdir()
    os.environ |= {
        # Tests and measurements ask as fast as they can, and often in vain.
        "BBB_API_PER_MINUTE": "0",
        "BBB_LOGIN_FAILURES": "0",
        "BBB_TOKEN_FAILURES_PER_MINUTE": "0",
        "BBB_HOME": str(folder / "data"),
        "DJANGO_SETTINGS_MODULE": "beebeebrain.settings",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "HOME": str(folder / "user"),
    }
    os.environ |= more
