"""What every registered storage promises (storage/base.py), against real places: a directory, a real S3 server."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devstack.s3 import S3Server
from egress_recorder.contract import Destination, S3Destination, VolumeDestination
from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.storage import (
    REGISTRY,
    FileSlice,
    ObjectExistsError,
    Storage,
    StorageContext,
    UploadLostError,
    open_storage,
)

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
PART = 5 * MIB


@dataclass(frozen=True)
class Place:
    """One real place; `open` gives a fresh instance each time, as another process would have."""

    destination: Destination
    context: StorageContext

    def open(self) -> Storage:
        return open_storage(self.destination, self.context)


def _volume(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    (tmp_path / "volumes" / "claim").mkdir(parents=True)
    context = StorageContext(where="fileOutputs[0]", volumes_root=tmp_path / "volumes")
    return Place(VolumeDestination(volume="claim", claim_name="recordings"), context)


def s3_place(tmp_path: Path, server: S3Server, **changes: Any) -> Place:
    credentials = tmp_path / "credentials" / "keys"
    credentials.mkdir(parents=True, exist_ok=True)
    (credentials / "access_key").write_text(server.access_key + "\n")
    (credentials / "secret").write_text(server.secret_key + "\n")
    values = {
        "bucket": server.bucket,
        "region": server.region,
        "endpoint": server.endpoint,
        "force_path_style": True,
        "credentials": "keys",
    }
    context = StorageContext(where="fileOutputs[0]", credentials_root=tmp_path / "credentials")
    return Place(S3Destination(**{**values, **changes}), context)


def _s3(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    return s3_place(tmp_path, request.getfixturevalue("s3_server"))


PLACES: dict[str, Callable[[Path, pytest.FixtureRequest], Place]] = {"pvc": _volume, "s3": _s3}


def test_every_registered_storage_has_a_place_in_this_suite() -> None:
    assert PLACES.keys() == REGISTRY.keys()


@pytest.fixture(params=sorted(REGISTRY))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return PLACES[request.param](tmp_path, request)


@pytest.fixture
def storage(place: Place) -> Storage:
    return place.open()


@pytest.fixture
def key() -> str:
    return f"{secrets.token_hex(6)}/with space+plus/äöü.mp4"


def test_an_object_that_was_put_is_there_and_can_be_read(storage: Storage, key: str) -> None:
    assert not storage.exists(key)
    assert storage.read(key) is None
    storage.put(key, b"{}", content_type="application/json")
    assert storage.exists(key)
    assert storage.read(key) == b"{}"


def test_put_never_overwrites_unless_told_to(storage: Storage, key: str) -> None:
    storage.put(key, b"first", content_type="text/plain")
    with pytest.raises(ObjectExistsError):
        storage.put(key, b"second", content_type="text/plain")
    assert storage.read(key) == b"first"
    storage.put(key, b"third", content_type="text/plain", overwrite=True)
    assert storage.read(key) == b"third"


def test_an_upload_of_several_parts_becomes_one_object(storage: Storage, key: str) -> None:
    data = os.urandom(2 * PART + 1000)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    parts = [
        storage.put_part(upload, number, io.BytesIO(data[offset : offset + PART]))
        for number, offset in enumerate(range(0, len(data), PART), start=1)
    ]
    assert storage.list_parts(upload) == tuple(parts)
    assert not storage.exists(key)
    storage.complete(upload, parts)
    assert storage.read(key) == data


def test_parts_may_come_in_any_order_and_again(storage: Storage, key: str) -> None:
    data = os.urandom(PART + 10)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.put_part(upload, 2, io.BytesIO(data[PART:]))
    storage.put_part(upload, 1, io.BytesIO(b"\0" * PART))
    storage.put_part(upload, 1, io.BytesIO(data[:PART]))
    storage.complete(upload, storage.list_parts(upload))
    assert storage.read(key) == data


def test_a_slice_of_a_file_is_a_part(storage: Storage, key: str, tmp_path: Path) -> None:
    data = os.urandom(PART + 10)
    file = tmp_path / "media.mp4"
    file.write_bytes(data)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    parts = []
    for number, (offset, size) in enumerate([(0, PART), (PART, 10)], start=1):
        with FileSlice(file, offset, size) as part:
            parts.append(storage.put_part(upload, number, part))  # type: ignore[arg-type]
    storage.complete(upload, parts)
    assert storage.read(key) == data


def test_completing_never_overwrites(storage: Storage, key: str) -> None:
    upload = storage.begin(key, "video/mp4", part_size=PART)
    part = storage.put_part(upload, 1, io.BytesIO(b"late"))
    storage.put(key, b"precious", content_type="video/mp4")
    with pytest.raises(ObjectExistsError):
        storage.complete(upload, [part])
    assert storage.read(key) == b"precious"
    storage.abort(upload)


def test_completing_again_after_a_lost_answer_is_a_success(place: Place, key: str) -> None:
    storage = place.open()
    upload = storage.begin(key, "video/mp4", part_size=PART)
    part = storage.put_part(upload, 1, io.BytesIO(b"data"))
    storage.complete(upload, [part])
    place.open().complete(upload, [part])
    assert storage.read(key) == b"data"


def test_an_upload_of_a_killed_process_is_taken_up_by_its_id(place: Place, key: str) -> None:
    upload = place.open().begin(key, "video/mp4", part_size=PART)
    place.open().put_part(upload, 1, io.BytesIO(b"a" * PART))
    other = place.open()
    resumed = other.resume(key, upload.id, part_size=PART)
    assert [part.number for part in other.list_parts(resumed)] == [1]
    other.put_part(resumed, 2, io.BytesIO(b"b"))
    other.complete(resumed, other.list_parts(resumed))
    assert other.read(key) == b"a" * PART + b"b"


def test_an_aborted_upload_leaves_nothing(storage: Storage, key: str) -> None:
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.put_part(upload, 1, io.BytesIO(b"data"))
    storage.abort(upload)
    storage.abort(upload)
    assert not storage.exists(key)
    with pytest.raises(UploadLostError):
        storage.resume(key, upload.id, part_size=PART)
    with pytest.raises(UploadLostError):
        storage.put_part(upload, 1, io.BytesIO(b"data"))


def test_a_name_that_climbs_out_is_refused(storage: Storage) -> None:
    for climbing in ("../a.mp4", "/etc/passwd", "a//b", ""):
        with pytest.raises(ConfigurationError, match=r"fileOutputs\[0\]"):
            storage.put(climbing, b"", content_type="text/plain")


def test_a_location_names_the_object(place: Place, key: str) -> None:
    location = place.open().location("a/b.mp4")
    assert location.endswith("/a/b.mp4")
    assert "://" in location


# ---- the volume's own faults ---------------------------------------------------------------------------------


def test_a_process_that_is_killed_while_it_writes_leaves_no_visible_file(tmp_path: Path) -> None:
    place = _volume(tmp_path, None)  # type: ignore[arg-type]
    program = (
        "import io, os, signal, sys; from pathlib import Path\n"
        "from egress_recorder.contract import VolumeDestination\n"
        "from egress_recorder.storage import StorageContext, open_storage\n"
        "s = open_storage(VolumeDestination(volume='claim'), StorageContext(where='x', volumes_root=Path(sys.argv[1])))\n"
        "u = s.begin('a.mp4', 'video/mp4', part_size=100)\n"
        "s.put_part(u, 1, io.BytesIO(b'a' * 100)); print(u.id, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "volumes")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root / "recorder")},
    )
    assert done.returncode == -9
    storage = place.open()
    assert not storage.exists("a.mp4")
    upload = storage.resume("a.mp4", done.stdout.strip(), part_size=100)
    storage.put_part(upload, 2, io.BytesIO(b"b"))
    storage.complete(upload, storage.list_parts(upload))
    assert storage.read("a.mp4") == b"a" * 100 + b"b"


def test_a_claim_that_is_not_mounted_names_its_field(tmp_path: Path) -> None:
    context = StorageContext(where="fileOutputs[2]", volumes_root=tmp_path)
    storage = open_storage(VolumeDestination(volume="none", claim_name="recordings"), context)
    with pytest.raises(ConfigurationError, match=r"fileOutputs\[2\]\.pvc: 'recordings' is not mounted"):
        storage.put("a.json", b"", content_type="application/json", overwrite=True)


def test_a_name_that_is_a_directory_is_a_configuration_error(tmp_path: Path) -> None:
    place = _volume(tmp_path, None)  # type: ignore[arg-type]
    storage = place.open()
    storage.put("a/b.mp4", b"", content_type="video/mp4")
    with pytest.raises(ConfigurationError, match="choose another"):
        storage.put("a/b.mp4/c.mp4", b"", content_type="video/mp4")


# ---- S3's own faults -----------------------------------------------------------------------------------------


def _attempts(storage: Storage) -> list[Callable[[], object]]:
    return [
        lambda: storage.put("x/a.json", b"{}", content_type="application/json", overwrite=True),
        lambda: storage.put("x/b.json", b"{}", content_type="application/json"),
        lambda: storage.begin("x/c.mp4", "video/mp4", part_size=PART),
    ]


def test_wrong_credentials_are_refused_with_a_sentence_and_without_the_secret(
    tmp_path: Path, s3_server: S3Server
) -> None:
    place = s3_place(tmp_path, s3_server)
    secret = "a-wrong-secret-that-must-not-appear"
    (tmp_path / "credentials" / "keys" / "secret").write_text(secret)
    for attempt in _attempts(place.open()):
        with pytest.raises(AuthorizationError, match=r"fileOutputs\[0\]\.s3") as caught:
            attempt()
        assert secret not in str(caught.value)
        assert s3_server.access_key not in str(caught.value)


def test_an_unknown_access_key_is_refused(tmp_path: Path, s3_server: S3Server) -> None:
    place = s3_place(tmp_path, s3_server)
    (tmp_path / "credentials" / "keys" / "access_key").write_text("AKIANOBODY")
    for attempt in _attempts(place.open()):
        with pytest.raises(AuthorizationError, match="access_key"):
            attempt()


def test_rotated_credentials_are_taken_up_by_the_same_instance(tmp_path: Path, s3_server: S3Server) -> None:
    place = s3_place(tmp_path, s3_server)
    file = tmp_path / "credentials" / "keys" / "secret"
    file.write_text("wrong-secret")
    storage = place.open()
    key = f"{secrets.token_hex(4)}.json"
    with pytest.raises(AuthorizationError):
        storage.put(key, b"{}", content_type="application/json")
    file.write_text(s3_server.secret_key)
    storage.put(key, b"{}", content_type="application/json")


def test_the_vendors_names_of_credentials_are_understood(tmp_path: Path, s3_server: S3Server) -> None:
    place = s3_place(tmp_path, s3_server)
    directory = tmp_path / "credentials" / "keys"
    (directory / "access_key").rename(directory / "AWS_ACCESS_KEY_ID")
    (directory / "secret").rename(directory / "AWS_SECRET_ACCESS_KEY")
    place.open().put(f"{secrets.token_hex(4)}.json", b"{}", content_type="application/json")


def test_a_secret_without_a_key_names_the_key(tmp_path: Path, s3_server: S3Server) -> None:
    place = s3_place(tmp_path, s3_server)
    (tmp_path / "credentials" / "keys" / "secret").unlink()
    with pytest.raises(AuthorizationError, match="'secret'"):
        place.open().exists("a")


def test_a_missing_bucket_names_its_field(tmp_path: Path, s3_server: S3Server) -> None:
    for attempt in _attempts(s3_place(tmp_path, s3_server, bucket="no-such-bucket").open()):
        with pytest.raises(ConfigurationError, match=r"fileOutputs\[0\]\.s3\.bucket 'no-such-bucket'"):
            attempt()


def test_a_server_that_does_not_answer_is_unreachable(tmp_path: Path, s3_server: S3Server) -> None:
    storage = s3_place(tmp_path, s3_server, endpoint="http://127.0.0.1:9").open()
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9 does not answer"):
        storage.put("a.json", b"{}", content_type="application/json", overwrite=True)


def test_an_endpoint_that_is_no_url_is_refused_at_once(tmp_path: Path, s3_server: S3Server) -> None:
    for endpoint in ("ftp://x", "http://user:password@x", "http://x:port", "http://"):
        with pytest.raises(ConfigurationError, match=r"fileOutputs\[0\]\.s3\.endpoint") as caught:
            s3_place(tmp_path, s3_server, endpoint=endpoint).open()
        assert "password" not in str(caught.value)


def test_the_content_type_is_kept(tmp_path: Path, s3_server: S3Server) -> None:
    storage = s3_place(tmp_path, s3_server).open()
    key = f"{secrets.token_hex(4)}.mp4"
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"x"))])
    assert s3_server.client().head_object(Bucket=s3_server.bucket, Key=key)["ContentType"] == "video/mp4"


def test_the_location_is_the_address_that_serves_the_object(
    tmp_path: Path, s3_server: S3Server, key: str
) -> None:
    storage = s3_place(tmp_path, s3_server).open()
    storage.put(key, b"x", content_type="text/plain")
    url = s3_server.client().generate_presigned_url(
        "get_object", Params={"Bucket": s3_server.bucket, "Key": key}
    )
    assert storage.location(key) == url.partition("?")[0]


def test_all_faults_are_recorder_errors() -> None:
    assert issubclass(ObjectExistsError, RecorderError)
    assert issubclass(UploadLostError, RecorderError)
