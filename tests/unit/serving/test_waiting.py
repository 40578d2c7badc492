"""Who is drawn next: by priority, by age, by shape; and nobody starves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from zimage_requests import request_for

from zimage_core.serving.waiting import WaitingRoom, rank_of
from zimage_core.serving.work import PRIORITIES, Priority, Ticket, Work

AGING_S = 30.0


def ticket(name: str, *, at_s: float = 0.0, priority: Priority = "normal", size: tuple[int, int] = (64, 64)) -> Ticket:
    return Ticket(Work(name, request_for("text", name, size=size)), priority, at_s, rank_of(at_s, priority, AGING_S))


def room_of(*tickets: Ticket) -> WaitingRoom:
    room = WaitingRoom()
    for one in tickets:
        room.add(one)
    return room


def drawn(room: WaitingRoom, limit: int = 1) -> list[str]:
    """The names of all that wait, in the order in which batches of `limit` take them."""
    order = []
    while (head := room.head()) is not None:
        order += [one.work.content_key for one in room.take(head.work.shape, limit)]
    return order


def test_the_urgent_come_first_and_equals_in_the_order_they_came() -> None:
    room = room_of(
        ticket("low", priority="low"),
        ticket("first", at_s=1),
        ticket("second", at_s=1),
        ticket("high", at_s=2, priority="high"),
    )
    assert drawn(room) == ["high", "first", "second", "low"]
    assert len(room) == 0


def test_what_waits_grows_urgent_so_that_a_stream_of_others_does_not_starve_it() -> None:
    room = room_of(ticket("low", priority="low"))
    order: list[str] = []
    for second in range(200):
        room.add(ticket(f"high {second}", at_s=float(second), priority="high"))
        order += [one.work.content_key for one in room.take(room.head().work.shape, 1)]
    assert order.index("low") == 2 * AGING_S, "after two agings it is as urgent as what comes in"


def test_a_batch_has_one_shape_and_starts_with_the_most_urgent() -> None:
    room = room_of(
        ticket("a", at_s=0), ticket("wide", at_s=1, size=(128, 64)), ticket("b", at_s=2), ticket("c", at_s=3)
    )
    assert room.count(("text", 64, 64)) == 3
    assert [one.work.content_key for one in room.take(("text", 64, 64), 2)] == ["a", "b"]
    assert room.head().work.content_key == "wide"
    assert drawn(room, 8) == ["wide", "c"]


def test_who_leaves_is_not_drawn_and_its_bytes_are_free() -> None:
    staged = Ticket(Work("staged", request_for("stage")), "normal", 0.0, 0.0)
    room = room_of(ticket("a"), staged)
    assert room.held_bytes == staged.work.request.reference.rgba.nbytes
    assert room.remove(staged)
    assert not room.remove(staged)
    assert room.held_bytes == 0
    assert drawn(room) == ["a"]


def test_somebody_more_urgent_for_the_same_picture_moves_it_forward_never_back() -> None:
    slow = ticket("slow", priority="low")
    room = room_of(slow, ticket("other", at_s=5))
    assert room.ahead_of(slow) == 1
    room.hasten(slow, rank_of(10, "high", AGING_S), "high")
    assert (room.ahead_of(slow), slow.priority) == (0, "high")
    room.hasten(slow, rank_of(20, "low", AGING_S), "low")
    assert slow.priority == "high"
    assert drawn(room) == ["slow", "other"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "hasten", "take"]), st.integers(0, 5), st.sampled_from(PRIORITIES)),
        max_size=60,
    )
)
def test_whatever_happens_the_head_is_the_smallest_rank_and_each_is_taken_once(
    happenings: list[tuple[str, int, Priority]],
) -> None:
    room, present, taken, moment = WaitingRoom(), [], [], 0.0
    for what, number, priority in happenings:
        moment += 1.0
        if what == "add":
            one = ticket(f"{moment}", at_s=moment, priority=priority, size=(64 + number % 2, 64))
            room.add(one)
            present.append(one)
        elif present and what == "remove":
            assert room.remove(present.pop(number % len(present)))
        elif present and what == "hasten":
            room.hasten(present[number % len(present)], rank_of(moment, priority, AGING_S), priority)
        elif present and what == "take":
            batch = room.take(room.head().work.shape, 1 + number)
            assert len({one.work.shape for one in batch}) == 1
            for one in batch:
                present.remove(one)
            taken += batch
        assert len(room) == len(present)
        assert room.held_bytes == 0
        head = room.head()
        assert (head is None) == (not present)
        assert head is None or head.rank_s == min(one.rank_s for one in present)
        assert [one.rank_s for one in room.everyone()] == sorted(one.rank_s for one in present)
    assert len(set(taken)) == len(taken)
