"""Which credential a client would use on this host, as a mark that may be stored."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.crypto import salted_hmac

from llm import operator_settings

_LENGTH = 16


def fingerprint(provider: str, environ: Mapping[str, str]) -> str:
    """Return the mark of the credential that the provider's client would find: equal credentials have equal marks.

    Keyed with SECRET_KEY, so that nobody who reads the mark can try credentials against it. Empty where the operator's
    settings cannot be read: then nothing starts either.
    """
    try:
        secret = operator_settings.credential(environ, provider=provider)
    except operator_settings.OperatorSettingsError:
        return ""
    mark = salted_hmac("llm.credentials", f"{provider}\n{secret}", algorithm="sha256")
    return mark.hexdigest()[:_LENGTH]
