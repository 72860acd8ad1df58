import pytest

from mlctl.errors import Conflict
from mlctl.registry.assets import Asset, get_asset, latest_asset, list_assets, put_asset, set_archived
from mlctl.registry.store import Store


def put(store: Store, version: str | None = None, artifact: str = "a", **spec: str) -> Asset:
    return put_asset(
        store, kind="model", workspace="w", name="m", version=version, spec={"name": "m", **spec}, artifact=artifact
    )


def test_versions_count_up_from_one(store: Store):
    assert [put(store, artifact=name).version for name in "abc"] == ["1", "2", "3"]


def test_the_same_version_with_the_same_content_is_accepted_again(store: Store):
    put(store, "3")
    assert put(store, "3", description="better words").spec["description"] == "better words"


def test_a_registered_version_never_changes(store: Store):
    put(store, "3")
    with pytest.raises(Conflict, match="never changes"):
        put(store, "3", artifact="b")


def test_latest_is_the_one_registered_last(store: Store):
    put(store, "9")
    put(store, "2", artifact="b")
    found = latest_asset(store, kind="model", workspace="w", name="m")
    assert found is not None
    assert found.version == "2"


def test_workspaces_keep_their_assets_apart(store: Store):
    put(store, "1")
    assert get_asset(store, kind="model", workspace="other", name="m", version="1") is None
    assert list_assets(store, kind="model", workspace="other") == []


def test_an_archived_version_is_not_the_latest(store: Store):
    put(store, "1")
    put(store, "2", artifact="b")
    assert set_archived(store, kind="model", workspace="w", name="m", version="2", archived=True) == ["2"]
    found = latest_asset(store, kind="model", workspace="w", name="m")
    assert found is not None
    assert found.version == "1"
    assert [asset.version for asset in list_assets(store, kind="model", workspace="w", archived=True)] == ["2"]
    assert put(store, artifact="c").version == "3"


def test_a_version_counted_up_is_the_same_when_it_is_named(store: Store):
    put(store)
    assert put(store, "1").version == "1"
    assert len(list_assets(store, kind="model", workspace="w")) == 1


def test_other_words_about_a_version_tell_when_they_were_written(store: Store):
    asset = put(store, "1")
    assert asset.modified_at is None
    assert (put(store, "1", description="new").modified_at or 0) >= asset.created_at
