"""The product's settings, with the bare views beside its own addresses."""

from __future__ import annotations

from beebeebrain.settings import *  # noqa: F403  (the same settings, whatever they are)

ROOT_URLCONF = "benchmarks.web.urls"
