"""All detectors, by what they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runtime.stuck import errors, idle, repeats
from runtime.stuck.findings import Finding, Kind, Thresholds
from runtime.stuck.traces import Trace

Detector = Callable[[Trace, Thresholds], Finding | None]

DETECTORS: Mapping[Kind, Detector] = {
    Kind.IDLE: idle.find,
    Kind.REPEAT: repeats.find,
    Kind.ERRORS: errors.find,
}
