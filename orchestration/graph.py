"""Questions about edges, on plain ids. An edge is a pair: a task, and what it waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

Edge = tuple[int, int]


def reaches(start: int, goal: int, parents_of: Callable[[set[int]], Iterable[int]]) -> bool:
    """Tell whether `goal` is `start` or an ancestor of it.

    `parents_of` answers for a whole generation at once, so a database is asked once a level.
    """
    seen: set[int] = set()
    front = {start}
    while front:
        if goal in front:
            return True
        seen |= front
        front = set(parents_of(front)) - seen
    return False


def in_order(parents: Mapping[int, Collection[int]]) -> list[int]:
    """Return the keys, each behind those of its parents that are keys; what cannot be put in order is left out.

    Left out is what is on a cycle, or behind one.
    """
    children = _inverted(parents)
    unmet = {node: sum(parent in parents for parent in set(given)) for node, given in parents.items()}
    free = deque(sorted(node for node, count in unmet.items() if not count))
    found = []
    while free:
        found.append(node := free.popleft())
        for child in children[node]:
            unmet[child] -= 1
            if not unmet[child]:
                free.append(child)
    return found


def find_cycle(parents: Mapping[int, Collection[int]]) -> list[int]:
    """Return the nodes of one cycle, each followed by a parent of it and the last by the first; empty if there is none."""
    stuck = set(parents) - set(in_order(parents))
    if not stuck:
        return []
    node = min(stuck)
    walked: dict[int, int] = {}
    while node not in walked:
        walked[node] = len(walked)
        node = min(parent for parent in parents[node] if parent in stuck)
    return list(walked)[walked[node] :]


def longest_path(nodes: Iterable[int], edges: Iterable[Edge]) -> list[int]:
    """Return the longest chain, from what must be done first to what waits for it; of several the first by its ids.

    Edges that lead out of `nodes` do not count, nor does what is on a cycle. Linear in nodes and edges.
    """
    parents = _parents(nodes, edges)
    children = _inverted(parents)
    length: dict[int, int] = {}
    following: dict[int, int | None] = {}

    def first(candidates: Iterable[int]) -> int | None:
        known = [node for node in candidates if node in length]
        return min(known, key=lambda node: (-length[node], node), default=None)

    for node in reversed(in_order(parents)):
        following[node] = best = first(children[node])
        length[node] = 1 + (length[best] if best is not None else 0)
    chain: list[int] = []
    here = first(length)
    while here is not None:
        chain.append(here)
        here = following[here]
    return chain


def longest_path_through(node: int, nodes: Iterable[int], edges: Iterable[Edge]) -> list[int]:
    """Return the longest chain that runs through `node`, as `longest_path` does; empty if it is not one of the nodes."""
    parents = _parents(nodes, edges)
    if node not in parents:
        return []
    before, behind = _reached(node, parents), _reached(node, _inverted(parents))
    # Without the edges that go round the node, every longest chain of what is left runs through it.
    kept = [
        (child, parent)
        for child, given in parents.items()
        for parent in given
        if (child in before or child == node or parent in behind or parent == node)
    ]
    return longest_path(before | {node} | behind, kept)


def _parents(nodes: Iterable[int], edges: Iterable[Edge]) -> dict[int, set[int]]:
    parents: dict[int, set[int]] = {node: set() for node in nodes}
    for child, parent in edges:
        if child in parents and parent in parents:
            parents[child].add(parent)
    return parents


def _inverted(parents: Mapping[int, Collection[int]]) -> dict[int, set[int]]:
    children: dict[int, set[int]] = {node: set() for node in parents}
    for child, given in parents.items():
        for parent in given:
            if parent in children:
                children[parent].add(child)
    return children


def _reached(start: int, neighbours: Mapping[int, Collection[int]]) -> set[int]:
    """Return everything reached from `start`, without itself."""
    found: set[int] = set()
    front = [start]
    while front:
        new = set(neighbours[front.pop()]) - found - {start}
        found |= new
        front += new
    return found
