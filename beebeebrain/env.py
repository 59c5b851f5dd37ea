"""Every setting that the environment decides: its name, type, default and meaning.

`docs/configuration.md` is written from this file (`python -m beebeebrain.env`); a test keeps them equal.
A setting whose name ends in _FILE names a file that holds the value, for secrets mounted as files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Profile = Literal["development", "test", "production"]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Names = Annotated[list[str], NoDecode]


class SettingRefused(Exception):
    """A setting in the environment has a value that is not accepted."""


class Environment(BaseSettings):
    """The environment, parsed and checked."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    bbb_profile: Profile = Field(
        "development",
        description="What this process is for. `production` demands a secret key and allowed hosts, and turns on secure cookies.",
    )
    bbb_home: Path = Field(
        Path("~/.beebeebrain"),
        description="Folder of the database, run directories and worktrees. Created with access for its owner only.",
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="`postgresql://user:password@host:5432/name`. Empty: SQLite at `$BBB_HOME/beebeebrain.db`.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Shared by several web processes: wake-up hints, and the counts of logins and requests. Never data. Empty: in memory, each process for itself.",
    )
    bbb_secret_key: SecretStr = Field(
        SecretStr(""),
        description="Signs browser sessions and run tokens, 32 characters or more. Empty outside production: made once and kept in `$BBB_HOME/secret_key`.",
    )
    bbb_secret_key_file: Path | None = Field(None, description="File that holds `BBB_SECRET_KEY`.")
    bbb_allowed_hosts: Names = Field(
        ["localhost", "127.0.0.1", "[::1]"], description="Host names the web answers to, separated by commas."
    )
    bbb_trusted_origins: Names = Field(
        [], description="Origins (`https://host`) that may post forms from behind a proxy, separated by commas."
    )
    bbb_trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="Proxies of yours in front of the web. So many entries at the end of X-Forwarded-For are believed; 0: none, the connection's own address counts.",
    )
    bbb_login_failures: int = Field(
        10,
        ge=0,
        le=10_000,
        description="Failed logins with one name from one address in 15 minutes, after which they are refused for 15 minutes; with any names, ten times as many. 0: no limit.",
    )
    bbb_token_failures_per_minute: int = Field(
        60,
        ge=0,
        le=1_000_000,
        description="Refused API tokens from one address, after which the answer is 429. A valid token is always accepted. 0: no limit.",
    )
    bbb_api_per_minute: int = Field(
        1200,
        ge=0,
        le=1_000_000,
        description="API requests of one token, or of one user without a token, reads and writes. 0: no limit.",
    )
    bbb_events_per_minute: int = Field(
        30_000,
        ge=0,
        le=100_000_000,
        description="Events that one token, or one user without a token, may write over the API. 0: no limit.",
    )
    bbb_max_parallel_runs: int = Field(
        4, ge=0, le=10_000, description="Runs at the same time over all projects. 0 starts none."
    )
    bbb_daily_budget_usd: float = Field(
        0,
        ge=0,
        le=1_000_000,
        description="What all projects together may cost on a day (UTC), in USD. 0: no limit but those of projects, agents and tasks.",
    )
    bbb_lease_s: float = Field(
        30, ge=1, le=3600, description="Seconds a scheduler's right to its runs lasts; renewed after a third of it."
    )
    bbb_tick_s: float = Field(
        5, ge=0.05, le=60, description="Longest sleep of the scheduler, in seconds, when no hint wakes it."
    )
    bbb_poll_s: float = Field(
        0.25,
        ge=0.01,
        le=10,
        description="How often, in seconds, the scheduler reads the logs of running agents and looks for hints.",
    )
    bbb_ask_wait_s: float = Field(
        300,
        ge=0,
        le=86_400,
        description="Seconds an agent's question waits in place; after that its run is parked and resumed by the answer.",
    )
    bbb_idle_timeout_s: float = Field(
        900, ge=1, le=86_400, description="Seconds of silence after which a run is stopped as timed out."
    )
    bbb_retry_base_s: float = Field(
        5,
        ge=0,
        le=3600,
        description="First step, in seconds, of the exponential backoff between attempts; full jitter.",
    )
    bbb_retry_cap_s: float = Field(600, ge=0, le=86_400, description="Longest backoff between attempts, in seconds.")
    bbb_max_check_rounds: int = Field(3, ge=0, le=20, description="How often an agent may mend work whose checks fail.")
    bbb_stop_grace_s: float = Field(
        10, ge=0, le=600, description="Seconds between asking a process to end and ending it."
    )
    bbb_stuck_scan_interval_s: float = Field(
        60, ge=0, le=86_400, description="Seconds between two looks for agents that get nowhere. 0: never."
    )
    bbb_stuck_idle_timeout_s: float = Field(
        300, ge=1, le=86_400, description="Seconds of silence after which an agent counts as stuck."
    )
    bbb_stuck_tool_timeout_s: float = Field(
        660,
        ge=1,
        le=86_400,
        description="The same while a tool call of the agent's is under way: a build may be silent for long.",
    )
    bbb_stuck_repeat_window: int = Field(
        12, ge=2, le=200, description="How many of the last tool calls are looked at for repetition."
    )
    bbb_stuck_repeat_threshold: float = Field(
        0.6,
        ge=0.05,
        le=1,
        description="Share of those calls that brought nothing new (same tool, arguments and result as another) at which the agent counts as going in circles. 1: never.",
    )
    bbb_stuck_error_window: int = Field(
        10, ge=2, le=200, description="How many of the last tool calls are looked at for failures."
    )
    bbb_stuck_error_min_calls: int = Field(
        8, ge=1, le=200, description="With fewer tool calls than that, failures say nothing."
    )
    bbb_stuck_error_rate_threshold: float = Field(
        0.8, ge=0.05, le=1, description="Share of failed calls at which the agent counts as stuck."
    )
    bbb_stuck_nudge_wait_s: float = Field(
        120,
        ge=0,
        le=86_400,
        description="Seconds an agent that was nudged has to get going before a person is asked.",
    )
    bbb_stuck_mute_s: float = Field(
        1800,
        ge=0,
        le=604_800,
        description="Seconds for which a person who let the agent continue is not asked about the same again.",
    )
    bbb_keep_events_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days for which control events, the audit trail, are kept in the log. 0: for ever.",
    )
    bbb_keep_progress_days: int = Field(
        30,
        ge=0,
        le=36_500,
        description="Days for which what comes in floods (`run.progress`, `run.log`, `load.probe`) is kept in the event log. 0: for ever.",
    )
    bbb_keep_run_logs_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="Days after its end for which the lines of a run are kept in the database. 0: for ever.",
    )
    bbb_compress_run_files_days: int = Field(
        1,
        ge=0,
        le=36_500,
        description="Days after its end when a run's `events.jsonl` on disk is compressed. 0: never.",
    )
    bbb_keep_run_files_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after its end for which the run directories of a run are kept. 0: for ever.",
    )
    bbb_run_log_max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=0,
        le=1024**4,
        description="Bytes of log that one start of a run may write; after that what its agent says is left out. 0: no limit.",
    )
    log_level: Level = Field("INFO", description="Least severe level that is logged.")
    log_format: Literal["json", "console"] = Field(
        "json", description="`json`: one object a line. `console`: for eyes."
    )
    log_file: Path | None = Field(None, description="File to log to instead of standard error.")

    @field_validator("bbb_allowed_hosts", "bbb_trusted_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value

    @field_validator("bbb_trusted_origins")
    @classmethod
    def _has_scheme(cls, value: list[str]) -> list[str]:
        if any(not origin.startswith(("http://", "https://")) for origin in value):
            raise ValueError("each origin begins with http:// or https://")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("accepts postgresql://… or nothing for SQLite")
        return value

    @field_validator("bbb_home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @model_validator(mode="after")
    def _production_is_explicit(self) -> Environment:
        if self.bbb_profile == "production" and len(self.secret_key()) < 32:
            raise ValueError(
                "BBB_SECRET_KEY (or BBB_SECRET_KEY_FILE) of 32 characters or more is required in production"
            )
        return self

    def secret_key(self) -> str:
        """Return the key from the environment or its file; empty when neither is set."""
        if self.bbb_secret_key_file is not None:
            return self.bbb_secret_key_file.read_text().strip()
        return self.bbb_secret_key.get_secret_value()


def load() -> Environment:
    """Parse the environment. Raises SettingRefused with one line that names each bad setting and what it accepts."""
    try:
        return Environment()
    except ValidationError as error:
        raise SettingRefused("; ".join(_complaint(item["loc"], item["msg"]) for item in error.errors())) from None
    except OSError as error:
        raise SettingRefused(f"BBB_SECRET_KEY_FILE: {error.strerror}") from None


def _complaint(loc: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{str(loc[0]).upper()}: {message}" if loc else message


def document() -> str:
    """Return docs/configuration.md."""
    rows = [_row(name) for name in Environment.model_fields]
    return "\n".join([_HEAD, *rows, ""])


_HEAD = """# Configuration

All settings come from the environment. A value that is not accepted stops the start with the name of the setting and what it
accepts (exit status 2). This page is written from `beebeebrain/env.py` by `python -m beebeebrain.env`.

The agent's own client reads its model, address and login from the environment (`ANTHROPIC_MODEL`, `ANTHROPIC_BASE_URL`,
`ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN`) or from the operator's `settings.json` (`$CLAUDE_CONFIG_DIR`, else `~/.claude`).

| setting | default | meaning |
|---|---|---|"""


def _row(name: str) -> str:
    field = Environment.model_fields[name]
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    shown = ",".join(default) if isinstance(default, list) else "" if default is None else str(default)
    limits = _limits(field.metadata)
    return f"| `{name.upper()}` | {f'`{shown}`' if shown else '—'} | {field.description}{limits} |"


def _limits(metadata: list[object]) -> str:
    least = next((item.ge for item in metadata if hasattr(item, "ge")), None)
    most = next((item.le for item in metadata if hasattr(item, "le")), None)
    return "" if least is None else f" Accepts {least} to {most}."


if __name__ == "__main__":
    sys.stdout.write(document())
