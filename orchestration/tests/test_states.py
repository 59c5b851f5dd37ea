from __future__ import annotations

from itertools import product

import pytest

from orchestration.states import MOVES, TaskStatus, sources

ALL = list(TaskStatus)


def test_every_status_has_its_row() -> None:
    assert set(MOVES) == set(TaskStatus)


@pytest.mark.parametrize(("here", "there"), list(product(ALL, repeat=2)))
def test_sources_is_the_table_read_backwards(here: TaskStatus, there: TaskStatus) -> None:
    assert (here in sources(there)) == (there in MOVES[here])


def test_done_is_final() -> None:
    assert MOVES[TaskStatus.DONE] == set()


def test_every_status_but_done_can_be_cancelled_or_reopened() -> None:
    assert all(moves & {TaskStatus.CANCELLED, TaskStatus.TODO} for status, moves in MOVES.items() if status != "done")
