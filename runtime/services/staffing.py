"""Agents with what only this side knows about them: which providers, models and clients there are."""

from __future__ import annotations

from typing import Any

from django.db import connection

from llm.contract import PROVIDERS
from llm.pricing import price
from orchestration.models import Agent, Project
from orchestration.services import agents
from runtime import clients
from runtime.exceptions import ClientUnavailable, UnknownModel, UnknownProvider

# Names that the client itself turns into a model.
_ALIASES = frozenset({"best", "default", "fable", "haiku", "opus", "opusplan", "sonnet"})
_CHECKED = ("provider", "model")


def create_agent(project: Project, *, actor: str, **fields: Any) -> Agent:
    """Create an agent in a project. Raises UnknownProvider, UnknownModel, ClientUnavailable, and what agents.create_agent raises."""
    draft = Agent(**{name: fields[name] for name in _CHECKED if name in fields})
    check_provider(draft.provider, draft.model)
    return agents.create_agent(project, **fields, actor=actor)


def update_agent(agent: Agent, *, actor: str, expected_version: int | None = None, **changes: Any) -> Agent:
    """Change fields of an agent. Raises UnknownProvider, UnknownModel, ClientUnavailable, and what agents.update_agent raises."""
    # An agent whose model has gone from the price list can still be paused.
    if changes.keys() & set(_CHECKED):
        check_provider(changes.get("provider", agent.provider), changes.get("model", agent.model))
    return agents.update_agent(agent, actor=actor, expected_version=expected_version, **changes)


def check_provider(provider: str, model: str) -> None:
    """Refuse a provider or model that nobody knows, and a client that cannot work here. Raises as above."""
    if provider not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        raise UnknownProvider(f"There is no provider {provider!r}; there are: {known}.", field="provider")
    if provider == "claude_code" and model and price(model) is None and not _is_alias(model):
        known = ", ".join(sorted(_ALIASES))
        message = f"Claude Code has no model {model!r}. Give a full name, one of {known}, or none for the default."
        raise UnknownModel(message, field="model")
    # Only on SQLite does the scheduler share this host, and so its clients and logins.
    if connection.vendor == "sqlite" and (error := clients.refusal(provider)):
        raise ClientUnavailable(str(error), code=error.code, field="provider")


def _is_alias(model: str) -> bool:
    return model.removesuffix("[1m]") in _ALIASES
