from __future__ import annotations

import pytest

from mlctl.scoring.limits import BadSetting, Limits, read_limits, read_whole


def test_defaults_are_azures() -> None:
    assert read_limits({}) == Limits(None, 300, is_preloaded=False)
    assert read_limits({"SCORING_TIMEOUT_MS": "", "WORKER_TIMEOUT": ""}) == Limits()


def test_values_are_read() -> None:
    found = read_limits({"SCORING_TIMEOUT_MS": " 500 ", "WORKER_TIMEOUT": "0", "WORKER_PRELOAD": "True"})
    assert found == Limits(500, 0, is_preloaded=True)


@pytest.mark.parametrize(
    ("limits", "limit_s"),
    [(Limits(500), 0.5), (Limits(None), 0.0), (Limits(0), 0.0), (Limits(400_000), 0.0), (Limits(400_000, 0), 400.0)],
)
def test_run_is_limited_where_the_worker_is_not_ended_before(limits: Limits, limit_s: float) -> None:
    assert limits.run_limit_s == limit_s


@pytest.mark.parametrize("value", ["x", "1.5", "1e3", "-1", True, None, "²"])
def test_anything_else_is_refused_in_azures_words(value: object) -> None:
    with pytest.raises(BadSetting, match="Configuration Error") as caught:
        read_whole("NAME", value)
    assert "NAME: Input should be " in str(caught.value)
    assert "(environment variable: NAME)" in str(caught.value)
