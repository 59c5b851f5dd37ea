from __future__ import annotations

from orchestration.graph import reaches

EDGES = {1: [2, 3], 2: [4], 3: [4], 4: []}


def parents(ids: set[int]) -> list[int]:
    return [parent for task in ids for parent in EDGES[task]]


def test_an_ancestor_is_reached() -> None:
    assert reaches(1, 4, parents)


def test_a_descendant_is_not() -> None:
    assert not reaches(4, 1, parents)


def test_a_task_reaches_itself() -> None:
    assert reaches(1, 1, parents)


def test_a_diamond_is_walked_once_a_level() -> None:
    asked: list[set[int]] = []

    def asked_parents(ids: set[int]) -> list[int]:
        asked.append(set(ids))
        return list(parents(ids))

    reaches(1, 99, asked_parents)
    assert asked == [{1}, {2, 3}, {4}]
