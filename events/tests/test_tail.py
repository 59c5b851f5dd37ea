from __future__ import annotations

import threading

import pytest

from events import tail
from events.frames import Frame
from events.tail import Ring, _Follower


@pytest.fixture(autouse=True)
def _small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "RING_SIZE", 3)


def frames(*ids: int, text: str = "") -> list[Frame]:
    return [Frame(id_, "task.created", 1, None, None, "", text) for id_ in ids]


def ids(found: tuple[Frame, ...] | None) -> list[int] | None:
    return None if found is None else [frame.id for frame in found]


def test_an_empty_ring_reaches_as_far_as_its_floor() -> None:
    assert Ring(floor=7).cursor == 7
    assert Ring(floor=7).after(7, 10) == ()


def test_a_ring_gives_what_is_behind_a_cursor() -> None:
    assert ids(Ring(floor=0).grown(frames(2, 5, 9)).after(2, 10)) == [5, 9]


def test_a_cursor_may_fall_between_two_ids() -> None:
    assert ids(Ring(floor=0).grown(frames(2, 5, 9)).after(3, 10)) == [5, 9]


def test_a_ring_gives_no_more_than_asked_for() -> None:
    assert ids(Ring(floor=0).grown(frames(2, 5, 9)).after(0, 2)) == [2, 5]


def test_the_oldest_make_room() -> None:
    ring = Ring(floor=0).grown(frames(1, 2)).grown(frames(3, 4, 5))
    assert ids(ring.frames) == [3, 4, 5]
    assert (ring.floor, ring.cursor) == (2, 5)


def test_a_cursor_at_the_floor_misses_nothing() -> None:
    ring = Ring(floor=0).grown(frames(1, 2, 3, 4, 5))
    assert ids(ring.after(2, 10)) == [3, 4, 5]


def test_a_cursor_behind_the_ring_is_told_so() -> None:
    ring = Ring(floor=0).grown(frames(1, 2, 3, 4, 5))
    assert ring.after(1, 10) is None


def test_growing_leaves_the_old_ring_as_it_was() -> None:
    before = Ring(floor=0).grown(frames(1))
    before.grown(frames(2))
    assert before.cursor == 1


def test_large_events_make_room_before_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "RING_CHARACTERS", 10)
    ring = Ring(floor=0).grown(frames(1, 2, text="x" * 6))
    assert (ids(ring.frames), ring.floor, ring.characters) == ([2], 1, 6)


def test_an_event_larger_than_a_ring_is_left_to_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "RING_CHARACTERS", 10)
    ring = Ring(floor=0).grown(frames(7, text="x" * 11))
    assert (ring.frames, ring.cursor, ring.after(0, 10)) == ((), 7, None)


def test_a_ring_remembers_when_rights_changed() -> None:
    changed = Frame(4, "security.audit.access", None, None, None, "", "", changes_rights=True)
    ring = Ring(floor=0).grown([*frames(1), changed]).grown(frames(5, 6, 7, 8))
    assert ring.rights_cursor == 4


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_ends_at_once_is_stopped_like_any_other() -> None:
    follower = _Follower(lambda: None)

    class EndsAtOnce(threading.Event):
        def set(self) -> None:
            super().set()
            follower.join()

    follower._is_stopped = EndsAtOnce()
    follower.start()
    follower.stop()
    assert not follower.is_alive()
