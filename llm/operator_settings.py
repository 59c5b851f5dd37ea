"""What the operator has set up for agent clients: model, address and login, from the environment or settings.json.

The client reads the same sources by itself; here they are read to know before a start whether it can work at all,
and to build the environment in which it starts. No secret is logged, stored or shown from here.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

# What any program needs; also all that a project's own commands get to see.
PLAIN = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"}
    | {"LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME"}
)
# What the client needs besides: its own settings, and the way out through a company's network.
CLIENT = frozenset(
    {"CLAUDE_CONFIG_DIR", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_MAX_RETRIES", "API_TIMEOUT_MS"}
    | {"CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
    | {"NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
_CLIENT_PREFIX = "ANTHROPIC_"
# A cloud's own names, and only where the operator has chosen that cloud.
_CLOUDS = {
    "CLAUDE_CODE_USE_BEDROCK": ("AWS_",),
    "CLAUDE_CODE_USE_VERTEX": ("GOOGLE_", "CLOUD_ML_", "VERTEX_"),
    "CLAUDE_CODE_USE_FOUNDRY": ("AZURE_",),
}
_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", *_CLOUDS)
_CREDENTIAL = frozenset({*_KEYS, "ANTHROPIC_BASE_URL"})


class OperatorSettingsError(Exception):
    """The operator's setup does not let a client start. `code` says in which way."""

    code = "client_settings_invalid"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class ClientMissing(OperatorSettingsError):
    """Claude Code is not installed here: install the extra `claude` (claude-agent-sdk brings the client with it)."""

    code = "client_missing"


class ClientLoginMissing(OperatorSettingsError):
    """Claude Code has no login: log in with `claude`, or set ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN."""

    code = "client_login_missing"


class _SettingsFile(BaseModel):
    """The part of the client's settings.json that matters here."""

    model_config = ConfigDict(extra="ignore")

    model: str = ""
    env: dict[str, str] = {}
    api_key_helper: str = Field(default="", alias="apiKeyHelper")

    @field_validator("env", mode="before")
    @classmethod
    def _as_the_client_reads_it(cls, env: Any) -> Any:
        """Numbers and booleans are legal there; in an environment they are text."""
        if not isinstance(env, dict):
            return env
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in env.items()}


@dataclass(frozen=True, kw_only=True)
class OperatorSettings:
    """What the client will use."""

    model: str
    """Empty: the client's own default."""
    base_url: str
    """Empty: the provider's own address."""
    token: str = field(repr=False)
    """Empty where there is none, or where it comes from a login or a helper."""


def load(environ: Mapping[str, str]) -> OperatorSettings:
    """Read the operator's settings as the client does: its settings file overrides the environment.

    Raises OperatorSettingsError, naming the file, when it cannot be read.
    """
    file = _settings_file(environ)
    env = {**environ, **file.env}
    return OperatorSettings(
        model=env.get("ANTHROPIC_MODEL") or file.model,
        base_url=env.get("ANTHROPIC_BASE_URL", ""),
        token=next((env[name] for name in _KEYS[:3] if env.get(name)), ""),
    )


def client_environment(environ: Mapping[str, str], *, provider: str = "claude_code") -> dict[str, str]:
    """Return the clean environment for a runner and its client: from an explicit list, and nothing else.

    Raises ClientMissing, ClientLoginMissing or OperatorSettingsError when the client could not work in it.
    """
    if provider != "claude_code":
        return plain_environment(environ)
    kept = {name: value for name, value in environ.items() if _is_for_client(name, environ)}
    client_path()
    if missing_login(kept):
        raise ClientLoginMissing
    return kept


def credential(environ: Mapping[str, str], *, provider: str = "claude_code") -> str:
    """Return what tells the credential a client would use from others. Holds secrets: to be hashed, never shown or kept.

    Keys count with the address they are sent to, since a gateway has limits of its own; a login counts as its account,
    because its tokens change by the hour. Empty for providers that need no login. Raises OperatorSettingsError.
    """
    if provider != "claude_code":
        return ""
    file = _settings_file(environ)
    env = {**environ, **file.env}
    clouds = tuple(prefix for switch, prefixes in _CLOUDS.items() if env.get(switch) for prefix in prefixes)
    kept = {name: value for name, value in env.items() if name in _CREDENTIAL or (clouds and name.startswith(clouds))}
    if not any(kept.get(name) for name in _KEYS):
        kept |= {"login": file.api_key_helper or _account(environ)}
    return "\n".join(f"{name}={value}" for name, value in sorted(kept.items()) if value)


def plain_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a project's own commands get to see: no login and no key."""
    return {name: value for name, value in environ.items() if name in PLAIN}


def client_path() -> Path:
    """Return the client that comes with claude-agent-sdk. Raises ClientMissing."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        raise ClientMissing
    path = Path(spec.origin).parent / "_bundled" / "claude"
    if not path.is_file():
        raise ClientMissing("claude-agent-sdk is installed without its client: there is no wheel for this platform.")
    return path


def missing_login(environ: Mapping[str, str]) -> bool:
    """Tell whether neither key nor login can be found where the client looks. Raises OperatorSettingsError."""
    file = _settings_file(environ)
    env = {**environ, **file.env}
    if file.api_key_helper or any(env.get(name) for name in _KEYS):
        return False
    if sys.platform == "darwin":
        return False  # the login is in the keychain, which only the client may open
    return not (config_dir(environ) / ".credentials.json").is_file() and not _has_saved_key(environ)


def config_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder of the client's settings and sessions."""
    chosen = environ.get("CLAUDE_CONFIG_DIR")
    return Path(chosen) if chosen else _home(environ) / ".claude"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _settings_file(environ: Mapping[str, str]) -> _SettingsFile:
    path = config_dir(environ) / "settings.json"
    found = _read_json(path)
    if found is None:
        return _SettingsFile()
    try:
        return _SettingsFile.model_validate(found)
    except ValidationError as error:
        # Only the place: the value may be a secret.
        place = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the whole file"
        raise OperatorSettingsError(f"{path}: {place} is not what the client expects there.") from None


def _has_saved_key(environ: Mapping[str, str]) -> bool:
    return bool(_saved(environ).get("primaryApiKey"))


def _account(environ: Mapping[str, str]) -> str:
    """Return who is logged in, or where the login is kept."""
    saved = _saved(environ)
    account = saved.get("oauthAccount")
    named = account.get("accountUuid") if isinstance(account, dict) else ""
    return str(saved.get("primaryApiKey") or named or config_dir(environ))


def _saved(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the client keeps for itself; nothing when that cannot be read."""
    beside = config_dir(environ) if environ.get("CLAUDE_CONFIG_DIR") else _home(environ)
    try:
        found = _read_json(beside / ".claude.json")
    except OperatorSettingsError:
        return {}
    return found if isinstance(found, dict) else {}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorSettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise OperatorSettingsError(f"{path} is not valid JSON{where}.") from None


def _is_for_client(name: str, environ: Mapping[str, str]) -> bool:
    if name in PLAIN or name in CLIENT or name.startswith(_CLIENT_PREFIX):
        return True
    return any(environ.get(switch) and name.startswith(prefixes) for switch, prefixes in _CLOUDS.items())
