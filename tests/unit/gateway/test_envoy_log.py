"""Envoy's log: the reason of a refusal, and no key."""

from pathlib import Path

import pytest

from mlctl.gateway.envoy_log import EnvoyLog, mask

KEY = "k" * 32
DUMP = f"""2026-01-02T03:04:05.678 warning config Filesystem config update rejected: goo.gle/debugproto
credentials {{
  key: "{KEY}"
  client: "primary"
}}
: Proto constraint validation failed (Credentials[1]: value length
 must be at least 1 characters)
2026-01-02T03:04:05.700 warning main something else
"""
PLAIN = (
    f"2026-01-02T03:04:05.678 warning config Filesystem config update rejected: Duplicated credential key: '{KEY}'\n"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "envoy.log"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PLAIN, f"Duplicated credential key: '{KEY}'"),
        (DUMP, "Proto constraint validation failed (Credentials[1]: value length must be at least 1 characters)"),
        ("2026-01-02T03:04:05.678 warning config Filesystem config update failure: bad\nmore\n", "bad"),
        ("2026-01-02T03:04:05.678 warning main caught SIGTERM\n", None),
        ("", None),
    ],
)
def test_the_reason_is_one_readable_line(path: Path, text: str, reason: str | None):
    path.write_text("before\n" + text)
    assert EnvoyLog(path).find_refusal(len("before\n")) == reason


def test_what_was_refused_earlier_does_not_count(path: Path):
    path.write_text(PLAIN)
    log = EnvoyLog(path)
    assert log.find_refusal(log.size()) is None


def test_no_log_is_no_refusal(path: Path):
    log = EnvoyLog(path)
    assert (log.size(), log.find_refusal(0)) == (0, None)
    log.mask([KEY])
    assert not path.exists()


def test_masking_keeps_every_byte_in_its_place(path: Path):
    path.write_text(PLAIN + DUMP)
    EnvoyLog(path).mask([KEY, ""])
    assert path.read_text() == (PLAIN + DUMP).replace(KEY, "*" * len(KEY))


def test_a_dumped_key_is_masked_however_it_is_escaped(path: Path):
    path.write_text(r'  key: "with \"quotes\" and \303\244"' + "\n")
    EnvoyLog(path).mask([])
    assert "quotes" not in path.read_text()


def test_masking_needs_no_order_and_ignores_the_empty_key():
    assert mask("ab abc", ["ab", "abc", ""]) == "*** ***"
