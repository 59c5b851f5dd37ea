"""What one test has counted (logins, requests, refusals) is nothing to the next one."""

from __future__ import annotations

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache


@pytest.fixture(autouse=True)
def _nothing_is_counted() -> None:
    for cache in caches.all():
        # A cache outside this process may be somebody else's too.
        if isinstance(cache, LocMemCache):
            cache.clear()
