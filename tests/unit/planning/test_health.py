from mlctl.planning.health import (
    EAGER_PERIOD_S,
    Health,
    ProbeSettings,
    has_failed,
    judge_probe,
    read_probe_settings,
    start_health,
)

SETTINGS = ProbeSettings(initial_delay_s=10, period_s=5, timeout_s=2, success_threshold=1, failure_threshold=3)


def judge(health: Health, has_passed: bool, now: float, settings: ProbeSettings = SETTINGS) -> Health:
    return judge_probe(health, settings, has_passed=has_passed, now=now)


def test_azures_fields_and_defaults_are_read():
    assert read_probe_settings({"initial_delay": 30, "failure_threshold": 7}) == ProbeSettings(
        initial_delay_s=30, failure_threshold=7
    )
    assert read_probe_settings(None) == ProbeSettings()


def test_probing_starts_at_once_and_is_eager_until_the_first_success():
    health = start_health(100.0)
    assert health.next_at == 100.0
    assert judge(health, False, 100.0).next_at == 100.0 + EAGER_PERIOD_S


def test_an_early_success_counts_although_the_initial_delay_lasts():
    health = judge(start_health(0.0), True, 0.3)
    assert health.is_passing
    assert health.next_at == 0.3 + SETTINGS.period_s


def test_the_initial_delay_excuses_failures():
    assert judge(start_health(0.0), False, 9.9).failures == 0
    assert judge(start_health(0.0), False, 10.0).failures == 1


def test_before_the_first_success_failures_count_once_a_period():
    assert judge(start_health(0.0), False, 14.9).failures == 1
    health = judge(start_health(0.0), False, 20.0)
    assert health.failures == 3
    assert has_failed(health, SETTINGS)


def test_several_successes_may_be_needed():
    settings = ProbeSettings(success_threshold=2)
    health = judge(start_health(0.0), True, 1.0, settings)
    assert not health.is_passing
    assert judge(health, True, 1.1, settings).is_passing


def test_a_few_failures_do_not_take_a_replica_out():
    health = judge(start_health(0.0), True, 1.0)
    health = judge(judge(health, False, 6.0), False, 11.0)
    assert health.is_passing
    assert not judge(health, False, 16.0).is_passing


def test_a_success_forgives_earlier_failures():
    health = judge(start_health(0.0), True, 1.0)
    health = judge(judge(judge(health, False, 6.0), False, 11.0), True, 16.0)
    assert health.failures == 0
    assert judge(health, False, 21.0).is_passing
