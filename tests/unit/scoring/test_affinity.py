import os
import queue
import threading
import time

from mlctl.scoring.affinity import Companion


def run_in_thread(companion: Companion) -> set[int]:
    found: list[set[int]] = []

    def follow() -> None:
        companion.follow()
        found.append(os.sched_getaffinity(threading.get_native_id()))

    thread = threading.Thread(target=follow)
    thread.start()
    thread.join()
    return found[0]


def test_the_thread_is_moved_to_one_processor_and_the_main_thread_stays_free():
    before = os.sched_getaffinity(0)
    assert len(run_in_thread(Companion(is_on=True))) == 1
    assert os.sched_getaffinity(0) == before


def test_switched_off_it_moves_nothing():
    assert run_in_thread(Companion(is_on=False)) == os.sched_getaffinity(0)


def wait_in_thread(companion: Companion) -> tuple[set[int], set[int]]:
    """Return where a thread may run while it waits for a ticket, and when it has it."""
    tickets: queue.SimpleQueue[int] = queue.SimpleQueue()
    found: list[set[int]] = []
    began = threading.Event()

    def take() -> None:
        get = companion.settle(tickets)
        began.set()
        assert get() == 1
        found.append(os.sched_getaffinity(threading.get_native_id()))

    thread = threading.Thread(target=take)
    thread.start()
    began.wait(15)
    waiting = os.sched_getaffinity(thread.native_id or 0)
    deadline = time.monotonic() + 1
    while len(waiting) > 1 and time.monotonic() < deadline:
        waiting = os.sched_getaffinity(thread.native_id or 0)
    tickets.put(1)
    thread.join()
    return waiting, found[0]


def test_who_waits_for_a_ticket_stays_on_its_processor_and_is_free_when_it_has_it():
    waiting, running = wait_in_thread(Companion(is_on=True))
    assert len(waiting) == 1
    assert running == os.sched_getaffinity(0)


def test_switched_off_who_waits_is_free():
    assert wait_in_thread(Companion(is_on=False)) == (os.sched_getaffinity(0), os.sched_getaffinity(0))


def test_what_waits_is_got_at_once():
    tickets: queue.SimpleQueue[int] = queue.SimpleQueue()
    tickets.put(1)
    assert Companion(is_on=True).settle(tickets)() == 1


def test_the_http_thread_does_not_interrupt_the_main_thread():
    found: list[int] = []

    def yield_to_main() -> None:
        Companion(is_on=True).yield_to_main()
        found.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=yield_to_main)
    thread.start()
    thread.join()
    assert found == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) != os.SCHED_BATCH
