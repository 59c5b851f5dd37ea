"""The runner: the process that owns one run. `python -m runtime.runner RUN_DIR`; imports no Django.

It starts the agent's client, applies the permission policy, answers the agent's reports, runs the checks, and writes
all that happens into its run directory. It never needs the scheduler that started it; what it hears from there are
files in `control/`.
"""

from __future__ import annotations

from security import plainlog  # noqa: F401  (before anything here imports structlog)
