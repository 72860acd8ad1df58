from pathlib import Path

import pytest

from mlctl.errors import BackendUnavailable
from mlctl.registry.secrets import SecretBox, new_key


def test_what_was_encrypted_is_read_again_by_another_process_s_box(tmp_path: Path):
    blob = SecretBox(tmp_path / "secret.key").encrypt({"primary": "hush"})
    assert b"hush" not in blob
    assert SecretBox(tmp_path / "secret.key").decrypt(blob) == {"primary": "hush"}


def test_the_key_file_is_the_owners_alone(tmp_path: Path):
    SecretBox(tmp_path / "secret.key")
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_another_key_is_told_as_such(tmp_path: Path):
    blob = SecretBox(tmp_path / "a.key").encrypt({"primary": "hush"})
    with pytest.raises(BackendUnavailable, match="not made with the key"):
        SecretBox(tmp_path / "b.key").decrypt(blob)


def test_keys_are_long_and_differ():
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert min(map(len, keys)) >= 43
