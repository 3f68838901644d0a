"""Volumes on disk, as a kubelet lays them out."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from devstack.podrunner.volumes import MountError, PodVolumes

pytestmark = pytest.mark.unit


def secret(version: str, **values: str) -> dict[str, Any]:
    data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
    return {"kind": "Secret", "metadata": {"name": "s", "resourceVersion": version}, "data": data}


def volumes(tmp_path: Path, *listed: dict[str, Any]) -> PodVolumes:
    return PodVolumes({"spec": {"volumes": list(listed)}}, tmp_path / "pod", tmp_path / "claims")


def test_a_secret_is_swapped_as_a_whole(tmp_path: Path) -> None:
    made = volumes(tmp_path, {"name": "v", "secret": {"secretName": "s", "defaultMode": 0o400}})
    mounts = made.mount(
        {"volumeMounts": [{"name": "v", "mountPath": "/etc/v"}]}, lambda *_: secret("1", a="1", b="1")
    )
    directory = made.root / "etc" / "v"
    first = (directory / "..data").resolve()

    assert mounts == ["/etc/v"]
    assert (directory / "a").readlink() == Path("..data/a")
    assert (directory / "a").stat().st_mode & 0o777 == 0o400
    made.update_secret(secret("2", a="2", c="2"))
    assert sorted(path.name for path in directory.iterdir() if not path.name.startswith("..")) == ["a", "c"]
    assert (directory / "a").read_text() == "2"
    assert not first.exists()
    assert made.secret_versions() == {"s": "2"}


def test_chosen_keys_get_their_paths_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    items = [{"key": "a", "path": "deep/name", "mode": 0o440}]
    made = volumes(tmp_path, {"name": "v", "secret": {"secretName": "s", "items": items}})
    container = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    made.mount(container, lambda *_: secret("1", a="1", b="hidden"))
    assert (made.root / "v" / "deep" / "name").read_text() == "1"
    assert not (made.root / "v" / "b").exists()
    with pytest.raises(MountError, match="references non-existent secret key: a"):
        made.update_secret(secret("2", b="1"))


def test_an_optional_secret_may_come_later(tmp_path: Path) -> None:
    made = volumes(tmp_path, {"name": "v", "secret": {"secretName": "s", "optional": True}})
    made.mount({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, lambda *_: None)
    assert made.secret_versions() == {"s": ""}
    made.update_secret(secret("1", a="1"))
    assert (made.root / "v" / "a").read_text() == "1"


def test_a_volume_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    made = volumes(tmp_path, {"name": "v", "hostPath": {"path": "/"}})
    with pytest.raises(MountError, match="does not know volumes of kind hostPath"):
        made.mount({}, lambda *_: None)


def test_scratch_over_its_limit_is_named(tmp_path: Path) -> None:
    made = volumes(tmp_path, {"name": "scratch", "emptyDir": {"sizeLimit": "64Ki"}})
    made.mount({"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}, lambda *_: None)
    assert made.exceeded() == ""
    (made.root / "scratch" / "big").write_bytes(b"1" * 100_000)
    assert made.exceeded() == 'Usage of EmptyDir volume "scratch" exceeds the limit "64Ki".'


def test_a_mount_inside_another_lies_in_its_volume(tmp_path: Path) -> None:
    made = volumes(tmp_path, {"name": "outer", "emptyDir": {}}, {"name": "inner", "emptyDir": {}})
    mounts = [{"name": "inner", "mountPath": "/a/b"}, {"name": "outer", "mountPath": "/a"}]
    made.mount({"volumeMounts": mounts}, lambda *_: None)
    (made.root / "a" / "b" / "file").write_text("x")
    assert (tmp_path / "pod" / "volumes" / "inner" / "file").exists()
