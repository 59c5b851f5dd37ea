"""The demo's folder: everything it makes, so that a demo that was stopped goes on where it was."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.standin.environment import client_environment

_STATE = "demo.json"
# What services and agents of the demo need of the machine.
_KEPT = ("LANG", "LC_ALL", "TMPDIR", "TZ")


@dataclass(frozen=True)
class Home:
    """`demo.json` in it marks it as ours and remembers the ports, which agents that are still at work were given."""

    path: Path

    @property
    def repository(self) -> Path:
        return self.path / "wordstats"

    @property
    def data(self) -> Path:
        """The BBB_HOME of the demo's services."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def open(self) -> dict[str, Any]:
        """Make the folder, or return what is remembered of an earlier demo in it."""
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            found: dict[str, Any] = json.loads((self.path / _STATE).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def remember(self, **state: Any) -> None:
        draft = self.path / f".{_STATE}"
        draft.write_text(json.dumps(self.open() | state))
        draft.replace(self.path / _STATE)

    def clear(self) -> None:
        """Delete an earlier demo. Raises FileExistsError for a folder that is not one."""
        if not self.path.exists():
            return
        if not (self.path / _STATE).exists() and any(self.path.iterdir()):
            raise FileExistsError(f"{self.path} is no folder of the demo; it was kept.")
        shutil.rmtree(self.path)

    def environment(self, provider: str) -> Mapping[str, str]:
        """Return the whole environment of the demo's services: nothing of the operator's own shows in it.

        `provider` is the address of the stand-in.
        """
        user = self.path / "user"
        user.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        # One try a request: the overload of the demo is to be met by our retries, not hidden by the client's.
        return {**kept, **client_environment(user, provider, retries=0)} | {
            "BBB_HOME": str(self.data),
            "BBB_POLL_S": "0.1",
            "BBB_RETRY_BASE_S": "2",
            "DJANGO_SETTINGS_MODULE": "beebeebrain.settings",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "PYTHONUNBUFFERED": "1",
        }
