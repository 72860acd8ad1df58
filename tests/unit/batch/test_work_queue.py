"""Every mini-batch is given out once, neighbours together."""

from hypothesis import given
from hypothesis import strategies as st

from mlctl.batch.inputs import InputFile
from mlctl.batch.work_queue import WorkQueue, add_block, add_files


@given(
    st.lists(st.integers(1, 300), max_size=6),
    st.integers(1, 40),
    st.sets(st.integers(0, 200)),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20)), min_size=1, max_size=50),
)
def test_all_are_given_out_once(blocks: list[int], size: int, done: set[int], turns: list[tuple[int, int]]) -> None:
    queue = WorkQueue(done.__contains__)
    for number, rows in enumerate(blocks):
        add_block(queue, {"path": str(number)}, rows, size)
    queue.complete()
    taken: list[int] = []
    step = 0
    while not queue.is_exhausted:
        worker, most = turns[step % len(turns)]
        lease = queue.take(worker, lambda left, most=most: most)
        indices = [mini_batch["index"] for mini_batch in lease]
        assert indices == list(range(indices[0], indices[0] + len(indices))) if indices else True
        taken += indices
        step += 1
    assert sorted(taken) == [index for index in range(queue.mini_batches) if index not in done]
    assert queue.items == sum(blocks)


def test_files_are_cut_into_mini_batches() -> None:
    queue = WorkQueue(lambda index: False)
    add_files(queue, [InputFile(str(number), 0, 0) for number in range(5)], 2)
    queue.complete()
    assert [list(found["files"]) for found in queue.take(1, lambda left: 9)] == [["0", "1"], ["2", "3"], ["4"]]
    assert queue.take(1, lambda left: 9) == ()


def test_a_stopped_queue_gives_out_nothing() -> None:
    queue = WorkQueue(lambda index: False)
    add_files(queue, [InputFile("a", 0, 0)], 1)
    queue.stop()
    assert queue.take(1, lambda left: 1) == ()
    assert queue.is_exhausted
