"""`bbb load`: see what a server carries, from outside."""

from __future__ import annotations

import resource
from typing import Annotated, Any

import typer

from beebeebrain.cli import config, output
from beebeebrain.cli.errors import ExitCode, Misuse
from beebeebrain.cli.options import AsJson, Project, group
from beebeebrain.cli.references import only_project
from beebeebrain.cli.session import connect

app = group("Write many events and see how they arrive.")

# Files that the process needs besides its sockets.
_OTHER_FILES = 64


@app.callback()
def load() -> None:
    """Write many events and see how they arrive."""


@app.command("events")
def load_events(
    rate: Annotated[float, typer.Option(min=0.1, max=100_000, help="Events a second.")] = 500,
    clients: Annotated[int, typer.Option(min=1, max=20_000, help="WebSockets that listen.")] = 200,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="For how long.")] = 30,
    patience: Annotated[
        float, typer.Option(min=0.1, help="Seconds of silence after which what is missing is lost.")
    ] = 10,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Write events through the API, and say what of them was lost, came twice or out of order, and how late.

    They are of the type load.probe, tell of nothing, and are pruned like progress. The exit status is 1 unless every listener got
    each of them once and in order. The server's BBB_EVENTS_PER_MINUTE bounds the rate.
    """
    # Loaded when it is needed: it takes as long as all the rest of `bbb`.
    import asyncio

    from beebeebrain.cli.loading import Load, Wanted

    _make_room(clients)
    login = config.current()
    with connect(login) as api:
        wanted = Wanted(only_project(api, project), rate, clients, seconds, patience)
        test = Load(api, login, wanted)
        asyncio.run(test.run())
    found = test.report()
    if as_json:
        output.data(found)
    else:
        output.text(_told(found))
    if found["lost"] or found["duplicates"] or found["out_of_order"] or found["closed_early"]:
        raise typer.Exit(ExitCode.REFUSED)


def _make_room(sockets: int) -> None:
    """Allow this process as many files as it needs. Raises Misuse."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sockets + _OTHER_FILES
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise Misuse(
            f"This machine allows {hard} open files to a process; that is too few for {sockets} sockets. See `ulimit -n`."
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _told(found: dict[str, Any]) -> str:
    lines = [
        f"{found['sent']:,} events written, {found['rate']:,g} a second (wanted {found['wanted_rate']:,g}), to {found['clients']:,} listeners.",
        f"{found['delivered']:,} deliveries · lost {found['lost']:,} · twice {found['duplicates']:,} · out of order {found['out_of_order']:,}"
        f" · closed early {found['closed_early']:,}",
        f"{'milliseconds':<24}{'p50':>10}{'p95':>10}{'p99':>10}",
    ]
    names = {
        "posted_to_received": "sent until received",
        "written_to_received": "by the server's clock",
        "post_answered": "sent until answered",
    }
    for name, words in names.items():
        cells = ["-" if value is None else f"{value:,.1f}" for value in found["milliseconds"][name].values()]
        lines.append(f"{words:<24}" + "".join(f"{cell:>10}" for cell in cells))
    if found["rate"] < 0.95 * found["wanted_rate"]:
        lines.append("The server took the events more slowly than they were to be sent.")
    if found["processor_share"] > 0.8:
        lines.append(
            f"This program used {found['processor_share']:.0%} of a processor: the delays may be its own. Use fewer listeners, or several hosts."
        )
    return "\n".join(lines)
