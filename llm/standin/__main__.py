"""`python -m llm.standin SCENARIO_FILE_OR_DIR --port 0`: play until interrupted; the first line is the URL."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from llm.standin.scenario import InvalidScenario
from llm.standin.server import StandIn


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns 2 when a scenario or the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m llm.standin", description="Play a script as the Messages API.")
    parser.add_argument("scenario", type=Path, help="a scenario file, or a directory of them")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    chosen = parser.parse_args(argv)
    stops = (signal.SIGINT, signal.SIGTERM)
    # Kept until we wait for them; the threads of the stand-in leave them to us.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        with StandIn(chosen.scenario, port=chosen.port, record=False, log=_log) as standin:
            sys.stdout.write(f"{standin.url}\n")
            sys.stdout.flush()
            signal.sigwait(stops)
    except (InvalidScenario, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _log(line: str) -> None:
    # Whoever started the stand-in may have stopped reading; that must not break an answer.
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
