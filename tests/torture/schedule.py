"""What is done to the installation, and when: from a seed alone, so that it can be done again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# How often each fault is chosen.
_FAULTS = {"kill": 5, "stop": 3, "terminate": 1, "kill runner": 3}
_COMMANDS = {"pause": 3, "resume": 3, "cancel": 2, "retry": 2}

# Seconds between two of a kind, on average.
FAULT_EVERY_S = 2.5
COMMAND_EVERY_S = 1.0
RESTART_EVERY_S = 15.0


@dataclass(frozen=True, order=True)
class Deed:
    """One thing that is done; `lot` says to which one, as a share of those there are."""

    at_s: float
    what: str
    lot: float


def schedule(seed: int, seconds: float, *, has_server: bool) -> list[Deed]:
    """Return the deeds of so many seconds in their order. Only a database that is a server is restarted."""
    chance = Random(seed)
    deeds = _drawn(chance, _FAULTS, FAULT_EVERY_S, seconds) + _drawn(chance, _COMMANDS, COMMAND_EVERY_S, seconds)
    if has_server:
        deeds += _drawn(chance, {"restart": 1}, RESTART_EVERY_S, seconds)
    return sorted(deeds)


def _drawn(chance: Random, weights: dict[str, int], every_s: float, seconds: float) -> list[Deed]:
    names = [name for name, weight in weights.items() for _ in range(weight)]
    deeds: list[Deed] = []
    at_s = chance.uniform(0.5, 1.5) * every_s
    while at_s < seconds:
        deeds.append(Deed(round(at_s, 3), chance.choice(names), chance.random()))
        at_s += chance.uniform(0.5, 1.5) * every_s
    return deeds


def parents_of(seed: int, tasks: int) -> list[list[int]]:
    """Return for each task of a random graph which earlier ones it waits for: mostly few, and near ones."""
    chance = Random(f"graph:{seed}")
    return [
        sorted(chance.sample(range(max(0, number - 12), number), min(number, chance.choice([0, 0, 1, 1, 2, 3]))))
        for number in range(tasks)
    ]
