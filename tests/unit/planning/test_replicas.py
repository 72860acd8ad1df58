from hypothesis import given
from hypothesis import strategies as st

from mlctl.planning.replicas import (
    LONGEST_BACKOFF_S,
    Replica,
    ReplicaPlan,
    ReplicaState,
    Wanted,
    back_off_s,
    plan_replicas,
)
from tests.factories import make_replicas, make_wanted


def test_a_new_deployment_starts_what_it_asks_for():
    plan = plan_replicas(make_wanted(count=3), [])
    assert plan == ReplicaPlan(start=(1, 1, 1), drain=(), routed=(), is_complete=False)


def test_nothing_is_done_when_everything_is_ready():
    plan = plan_replicas(make_wanted(count=2, serving=1, serving_count=2), make_replicas("ready", "ready"))
    assert plan == ReplicaPlan(start=(), drain=(), routed=("g1-0", "g1-1"), is_complete=True)


def test_a_lost_replica_is_replaced_while_the_other_serves():
    plan = plan_replicas(make_wanted(count=2, serving=1, serving_count=2), make_replicas("ready"))
    assert plan.start == (1,)
    assert plan.routed == ("g1-0",)


def test_a_new_generation_comes_up_beside_the_old_which_serves_on():
    wanted = make_wanted(generation=2, count=1, serving=1, serving_count=1)
    plan = plan_replicas(wanted, make_replicas("ready"))
    assert (plan.start, plan.drain, plan.routed) == ((2,), (), ("g1-0",))


def test_a_complete_new_generation_takes_over_and_the_old_drains():
    wanted = make_wanted(generation=2, count=1, serving=1, serving_count=1)
    plan = plan_replicas(wanted, [*make_replicas("ready"), *make_replicas("ready", generation=2)])
    assert (plan.start, plan.drain, plan.routed, plan.is_complete) == ((), ("g1-0",), ("g2-0",), True)


def test_a_generation_that_failed_is_drained_and_the_old_serves_on():
    wanted = make_wanted(generation=2, serving=1, serving_count=1, has_given_up=True)
    plan = plan_replicas(wanted, [*make_replicas("ready"), *make_replicas("starting", generation=2)])
    assert (plan.start, plan.drain, plan.routed) == ((), ("g2-0",), ("g1-0",))


def test_scale_down_stops_newest_replica_first():
    plan = plan_replicas(make_wanted(count=1, serving=1, serving_count=1), make_replicas("ready", "ready", "ready"))
    assert plan.drain == ("g1-2", "g1-1") or set(plan.drain) == {"g1-1", "g1-2"}
    assert plan.routed == ("g1-0",)


def test_scale_down_stops_what_is_not_ready_before_what_is():
    plan = plan_replicas(make_wanted(count=1, serving=1, serving_count=1), make_replicas("unready", "ready"))
    assert plan.drain == ("g1-0",)


def test_a_crash_loop_waits_out_its_back_off():
    assert plan_replicas(make_wanted(may_start=False), []).start == ()


def test_a_crash_loop_of_the_new_generation_does_not_stop_repairs_of_the_old():
    wanted = make_wanted(generation=2, serving=1, serving_count=2, may_start=False)
    assert plan_replicas(wanted, make_replicas("ready")).start == (1,)


def test_deleting_drains_everything_that_is_not_draining_yet():
    plan = plan_replicas(make_wanted(is_deleting=True), make_replicas("ready", "draining", "starting"))
    assert (plan.start, plan.drain, plan.routed) == ((), ("g1-0", "g1-2"), ())


def test_back_off_doubles_up_to_its_limit():
    assert [back_off_s(n) for n in range(5)] == [0.0, 0.2, 0.4, 0.8, 1.6]
    assert back_off_s(1000) == LONGEST_BACKOFF_S


def test_replicas_that_served_are_replaced_at_once_a_few_times():
    assert [back_off_s(n, was_ready=True) for n in (1, 3, 4, 5)] == [0.0, 0.0, 0.2, 0.4]


STATES = st.sampled_from([ReplicaState.STARTING, ReplicaState.READY, ReplicaState.UNREADY, ReplicaState.DRAINING])


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(1, 3)),
    st.lists(st.tuples(st.integers(1, 3), STATES), max_size=8),
)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    generation: int, count: int, serving: int | None, running: list[tuple[int, ReplicaState]]
):
    wanted = Wanted(generation=generation, count=count, serving=serving, serving_count=count if serving else 0)
    replicas = [Replica(f"r{index}", found, state) for index, (found, state) in enumerate(running)]
    for step in range(6):
        plan = plan_replicas(wanted, replicas)
        if not plan.start and not plan.drain:
            break
        kept = [replica for replica in replicas if replica.id not in plan.drain]
        started = [Replica(f"n{step}-{i}", found, ReplicaState.READY) for i, found in enumerate(plan.start)]
        replicas = [*kept, *started]
        if plan.is_complete:
            wanted = Wanted(generation=generation, count=count, serving=generation, serving_count=count)
    assert plan_replicas(wanted, replicas).start == ()
    assert plan_replicas(wanted, replicas).drain == ()


@given(st.integers(1, 5), st.lists(STATES, max_size=8))
def test_only_ready_replicas_that_stay_are_routed(count: int, states: list[ReplicaState]):
    replicas = [Replica(f"r{index}", 1, state) for index, state in enumerate(states)]
    plan = plan_replicas(Wanted(generation=1, count=count, serving=1, serving_count=count), replicas)
    ready = {replica.id for replica in replicas if replica.state is ReplicaState.READY}
    assert set(plan.routed) <= ready - set(plan.drain)
    assert len(plan.routed) == min(count, len(ready))
