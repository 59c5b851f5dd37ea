"""The graph of tasks for people: what waits for what, stage by stage."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Any

from beebeebrain.cli import output, tables
from beebeebrain.cli.tables import Column

Row = dict[str, Any]


def show(graph: Row, rows: list[Row]) -> None:
    """Print the tasks of a graph, those first that can be done first."""
    waits = waits_of(graph, rows)
    stages = stages_of(waits)
    nodes = sorted(rows, key=lambda node: (stages[node["id"]], node["id"]))
    columns = [
        Column("stage", lambda node: stages[node["id"]]),
        Column("id", "id"),
        Column("state", state_of),
        Column("waits for", lambda node: waits[node["id"]]),
        Column("title", "title"),
    ]
    tables.table(columns, nodes, empty="No tasks.")
    if chain := graph["critical_path"]:
        output.text(f"Longest chain: {' → '.join(map(str, chain))}")
    if graph["is_truncated"]:
        output.note("There are more tasks than are shown.")


def waits_of(graph: Row, rows: list[Row]) -> dict[int, list[int]]:
    """Return for each task those shown that it waits for."""
    waits: dict[int, list[int]] = {node["id"]: [] for node in rows}
    for edge in graph["edges"]:
        if edge["task"] in waits and edge["depends_on"] in waits:
            waits[edge["task"]].append(edge["depends_on"])
    return {task: sorted(others) for task, others in waits.items()}


def stages_of(waits: dict[int, list[int]]) -> dict[int, int]:
    """Return for each task how many must be done one after the other until it is done, itself included."""
    stages: dict[int, int] = {}
    try:
        for task in TopologicalSorter(waits).static_order():
            stages[task] = 1 + max((stages[other] for other in waits[task]), default=0)
    except CycleError:
        # The server refuses cycles; if it shows one all the same, it is shown.
        return dict.fromkeys(waits, 1)
    return stages


def state_of(row: Row) -> str:
    """Return the status of a task, with what keeps or moves it where that is known."""
    status = str(row["status"])
    if row.get("cancel_requested_at"):
        return f"{status} (to be cancelled)"
    if row.get("approved_at") and status == "review":
        return f"{status} (approved)"
    if row["is_held"] and status in ("todo", "running"):
        return f"{status} (paused)" if status == "todo" else f"{status} (to be paused)"
    if status == "todo" and row["unmet_dependencies"]:
        return f"{status} (waits for {row['unmet_dependencies']})"
    return status
