"""The words of the thinking side."""

from __future__ import annotations

from django.db.models import TextChoices


class BreakerState(TextChoices):
    CLOSED = "closed"  #: nothing keeps the credential's starts
    OPEN = "open"  #: nothing starts with the credential before its reset time
    HALF_OPEN = "half_open"  #: the reset time has passed; one run at a time tries whether the limit has, too
