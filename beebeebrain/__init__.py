"""BeeBeeBrain: the control plane for a team of coding agents."""

from __future__ import annotations

__version__ = "0.1.0"
