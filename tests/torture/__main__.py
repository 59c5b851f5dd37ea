"""`python -m tests.torture --seconds 60 --seed 1 --tasks 400 --schedulers 6 --database postgres`.

For so many seconds schedulers and runners are killed and stopped, a PostgreSQL is restarted, and a person pauses,
resumes, cancels and retries, all by a schedule that the seed decides. Then a person cares for what is left until all
tasks are done, and everything is checked. The exit status is 0 when nothing was wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import django

from tests.commands import STOPPED
from tests.environment import isolate
from tests.postgres import Server, running
from tests.torture.schedule import schedule

if TYPE_CHECKING:
    from tests.torture.world import World


def main(arguments: list[str]) -> int:
    """Torture; return the exit status."""
    given = _parsed(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="bbb-torture-", ignore_cleanup_errors=True) as name,
        _database(given) as server,
    ):
        os.environ.pop("DATABASE_URL", None)
        folder = Path(name)
        isolate(folder, BBB_PROFILE="test", **({"DATABASE_URL": server.url} if server else {}))
        django.setup()
        return _run(given, folder, server)


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for how long things go wrong")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--schedulers", type=int, default=6)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--patience", type=float, default=0, help="seconds for the rest; 0: four a task, and a minute")
    return parser.parse_args(arguments)


@contextmanager
def _database(given: argparse.Namespace) -> Iterator[Server | None]:
    if given.database == "sqlite":
        yield None
        return
    with running() as server:
        yield server


def _run(given: argparse.Namespace, folder: Path, server: Server | None) -> int:
    from django.core.management import call_command

    from tests.schedulers import site
    from tests.torture.world import World, environment

    call_command("migrate", verbosity=0)
    with site(folder, **environment()) as place:
        world = World(site=place, folder=folder, server=server)
        world.populate(given.seed, given.tasks)
        world.begin(given.schedulers)
        began = time.monotonic()
        _torture(world, given)
        took_s = time.monotonic() - began
        is_done = _care(world, given)
        world.end()
        return _report(world, given, (took_s, time.monotonic() - began), is_done=is_done)


def _torture(world: World, given: argparse.Namespace) -> None:
    deeds = schedule(given.seed, given.seconds, has_server=world.server is not None)
    world.site.until(lambda: world.heard("scheduler_started"), "a scheduler is there")
    began = time.monotonic()
    while (now := time.monotonic() - began) < given.seconds:
        while deeds and deeds[0].at_s <= now:
            world.perform(deeds.pop(0))
        world.tend()
        world.sample()
        time.sleep(0.05)


def _care(world: World, given: argparse.Namespace) -> bool:
    """Wait until all is done; False when patience ends first."""
    until = time.monotonic() + (given.patience or 60 + 4 * given.tasks)
    while time.monotonic() < until:
        world.tend()
        world.sample()
        if world.care():
            return True
        time.sleep(0.2)
    return False


def _report(world: World, given: argparse.Namespace, took_s: tuple[float, float], *, is_done: bool) -> int:
    from tests.torture.oracle import counts, findings

    wrong = findings(world)
    figures = {**dict(sorted(world.done.items())), **counts()}
    lines = [f"{name:<40} {count}" for name, count in figures.items()]
    lines += [f"{'adoptions':<40} {world.heard('run_adopted')}"]
    head = f"torture: {given.database}, seed {given.seed}, {given.tasks} tasks, {given.schedulers} schedulers"
    head += f", {took_s[0]:.0f} s of faults, {took_s[1]:.0f} s in all, {given.tasks / took_s[1]:.2f} tasks/s"
    sys.stdout.write("\n".join([head, *lines, "", *(f"WRONG: {line}" for line in wrong[:40]), ""]))
    if not is_done:
        sys.stdout.write(f"patience ended before all was done\n{world.site._story()[-20000:]}\n")
    sys.stdout.write(f"torture: {len(wrong)} wrong\n")
    return 1 if wrong or not is_done else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(STOPPED)
