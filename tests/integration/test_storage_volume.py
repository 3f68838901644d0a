"""What is the volume's own: a killed writer, a claim that is not mounted, names that a file system refuses."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from egress_recorder.contract import VolumeDestination
from egress_recorder.errors import ConfigurationError
from egress_recorder.storage import Storage, StorageContext, open_storage
from support.storage_places import volume_place

pytestmark = pytest.mark.integration


def test_a_process_that_is_killed_while_it_writes_leaves_no_visible_file(tmp_path: Path) -> None:
    place = volume_place(tmp_path)
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
    assert isinstance(storage, Storage)
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
    place = volume_place(tmp_path)
    storage = place.open()
    storage.put("a/b.mp4", b"", content_type="video/mp4")
    with pytest.raises(ConfigurationError, match="choose another"):
        storage.put("a/b.mp4/c.mp4", b"", content_type="video/mp4")
