import os
import threading

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
