"""The environment of a client that talks to the stand-in: nothing of the machine's own comes through."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def client_environment(home: Path, url: str, *, retries: int = 2) -> dict[str, str]:
    """Return the whole environment for a client with `home` as its home. `retries` is how often it asks again."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_MAX_RETRIES": str(retries),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def bundled_client() -> Path:
    """Return the client that comes with the SDK. Raises FileNotFoundError when the extra `claude` is not installed."""
    found = importlib.util.find_spec("claude_agent_sdk")
    client = Path(found.origin).parent / "_bundled" / "claude" if found and found.origin else None
    if client is None or not client.exists():
        raise FileNotFoundError("the Claude Code client is not installed: pip install 'beebeebrain[claude]'")
    return client
