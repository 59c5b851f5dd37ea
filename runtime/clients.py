"""Which providers' clients can work on this host: installed, and with a login."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable

from django.db import connection
from django.db.models import QuerySet

from llm import operator_settings
from llm.operator_settings import OperatorSettingsError
from orchestration.models import Agent, Project
from orchestration.states import AgentStatus
from sql.prepared import PreparedQuery


def _providers_of_active() -> QuerySet[Agent, str]:
    active = Agent.objects.filter(status=AgentStatus.ACTIVE, project__is_archived=False)
    return active.order_by().values_list("provider", flat=True).distinct()


_active_providers = PreparedQuery(_providers_of_active)


class ClientsMissing(Exception):
    """Agents are active whose client cannot work on this host."""


def require() -> None:
    """Raise ClientsMissing, with what to do, when active agents cannot work here for want of a client or a login."""
    if found := missing():
        raise ClientsMissing(" ".join(str(error) for error in found.values()))


def refusal(provider: str) -> OperatorSettingsError | None:
    """Return why a provider's client could not work here, or None when it could."""
    try:
        operator_settings.client_environment(os.environ, provider=provider)
    except OperatorSettingsError as error:
        return error
    return None


def missing(providers: Iterable[str] | None = None) -> dict[str, OperatorSettingsError]:
    """Return the providers that cannot work here, with the reason; of those given, or of all active agents."""
    if providers is None:
        providers = _active_providers()
    return {provider: found for provider in providers if (found := refusal(provider))}


def missing_in(project: Project) -> Container[str]:
    """Return the providers of a project's agents that cannot work, as far as this host can tell.

    Only on SQLite does the scheduler share it, and so its clients and logins.
    """
    providers = project.agents.order_by().values_list("provider", flat=True).distinct()
    return missing(providers) if connection.vendor == "sqlite" else ()
