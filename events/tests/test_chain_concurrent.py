"""Writers at the same time make one chain, whatever of theirs is rolled back and whoever commits first."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import connection

from events.models import Event
from events.services import append, unit_of_work
from events.states import EventType
from events.tests.factories import ACTOR
from events.verification import verify

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 6
UNITS = 15


@unit_of_work()
def write(writer: int, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 3)):
        append(EventType.TASK_CREATED, project_id=writer, actor=ACTOR, id=1, version=1)
    if chance.random() < 0.3:
        raise ZeroDivisionError


def write_many(writer: int) -> None:
    chance = random.Random(writer)
    try:
        for _ in range(UNITS):
            with suppress(ZeroDivisionError):
                write(writer, chance)
    finally:
        connection.close()


def test_writers_at_the_same_time_make_one_chain() -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write_many, range(WRITERS)))
    found = verify(batch=10)
    assert (found.broken, found.checked) == (None, Event.objects.count())
    assert found.checked >= WRITERS * UNITS * 0.5
