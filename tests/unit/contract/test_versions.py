"""Operator and recorder of different releases: N with N-1 works in both directions, farther apart is refused.

The other release is the same package with its `CONTRACT_VERSION` line changed, in a process of its own: it writes and
reads real documents, as an image that is one release older or newer does.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, Field

from egress_recorder import contract, versions
from egress_recorder.configdir import ConfigDirectory

pytestmark = pytest.mark.unit

RECORDER = Path(contract.__file__).parents[1]
LINE = f"CONTRACT_VERSION = {contract.CONTRACT_VERSION}\n"

Release = Callable[..., Any]

_WRITE = """
import json, sys
from datetime import UTC, datetime
from egress_recorder import contract as c
config = c.RecorderConfig(
    egress_id="EG_abc", url="ws://x", room_name="standup", requested_at=datetime(2026, 11, 22, tzinfo=UTC),
    source=c.ParticipantSource(identity="alice"),
    outputs=(c.FileOutputConfig(filepath="a.mp4", destination=c.VolumeDestination(volume="0")),),
)
print(json.dumps(json.loads(config.stamped().to_json())))
"""

_ANSWER = """
import json, sys
from egress_recorder import contract as c
from egress_recorder.supervisor.board import StatusBoard
text = sys.stdin.read()
try:
    config = c.RecorderConfig.parse(text)
except c.ContractError as error:
    from egress_recorder.errors import ConfigurationError
    from egress_recorder.supervisor.termination import failure_result
    result = failure_result(ConfigurationError(str(error)), contract_version=c.stated_version(text))
else:
    status = StatusBoard(config.egress_id, contract_version=config.answer_version).status
    result = c.RecorderResult(**dict(status))
print(json.dumps(json.loads(result.to_json())))
"""

_READ = """
import json, sys
from egress_recorder import contract as c
try:
    print(json.dumps({"phase": c.RecorderResult.parse(sys.stdin.read()).phase}))
except c.ContractError as error:
    print(json.dumps({"refused": str(error)}))
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Run a script in a release whose contract version is so many above ours; document in, document out."""
    made: dict[int, Path] = {}

    def place(ahead: int) -> Path:
        if ahead not in made:
            root = tmp_path_factory.mktemp(f"release{ahead}")
            shutil.copytree(RECORDER / "egress_recorder", root / "egress_recorder")
            path = root / "egress_recorder" / "contract.py"
            text = path.read_text()
            assert text.count(LINE) == 1
            path.write_text(text.replace(LINE, f"CONTRACT_VERSION = {contract.CONTRACT_VERSION + ahead}\n"))
            made[ahead] = root
        return made[ahead]

    def run(ahead: int, script: str, document: Any = None) -> Any:
        text = json.dumps(document) if document is not None else ""
        environment = {"PYTHONPATH": str(place(ahead)), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=text, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize(
    ("operator", "recorder"), [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1)], ids=lambda n: f"N+{n}"
)
def test_releases_that_are_at_most_one_apart_understand_each_other(
    release: Release, operator: int, recorder: int
) -> None:
    config = release(operator, _WRITE)
    answer = release(recorder, _ANSWER, {**config, "hologram": {"of": "a later release"}})

    assert release(operator, _READ, {**answer, "hologram": 1}) == {"phase": "Starting"}


@pytest.mark.parametrize(("operator", "recorder"), [(2, 0), (3, 0)])
def test_releases_farther_apart_are_told_so_in_the_status(
    release: Release, operator: int, recorder: int
) -> None:
    answer = release(recorder, _ANSWER, release(operator, _WRITE))

    assert "at most one release apart" in answer["error"]
    assert answer["exitCode"] == 78
    assert release(operator, _READ, answer) == {"phase": "Failed"}


def test_a_newer_operator_that_asks_for_something_new_is_refused_by_an_older_recorder(
    release: Release,
) -> None:
    config = {**release(1, _WRITE), "minContractVersion": contract.CONTRACT_VERSION + 1}
    answer = release(0, _ANSWER, config)

    assert f"and needs {contract.CONTRACT_VERSION + 1}" in answer["error"]
    assert release(1, _READ, answer) == {"phase": "Failed"}
    assert release(1, _READ, release(1, _ANSWER, config)) == {"phase": "Starting"}


def test_a_recorder_that_is_too_new_is_refused_with_the_same_sentence(release: Release) -> None:
    answer = release(3, _ANSWER, release(0, _WRITE))

    assert "at most one release apart" in answer["error"]
    assert release(0, _READ, answer) == {"phase": "Failed"}


# ---- the stamp -----------------------------------------------------------------------------------------------


class Old(BaseModel):
    name: str = ""


class Storage(BaseModel):
    SINCE: ClassVar[int] = 3
    bucket: str = "b"


@dataclass(frozen=True)
class Plain:
    width: int = 16
    depth: int | None = field(default=None, metadata={"since": 4})


class Document(BaseModel):
    inner: Old = Old()
    place: Old | Storage = Old()
    plain: Plain = Plain()
    hologram: bool = Field(default=False, json_schema_extra={"since": 2})
    many: tuple[Old | Storage, ...] = ()
    named: dict[str, Storage] = {}


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({}, 1),
        ({"inner": Old(name="x")}, 1),
        ({"hologram": True}, 2),
        ({"place": Storage()}, 3),
        ({"plain": Plain(width=32)}, 1),
        ({"plain": Plain(depth=8)}, 4),
        ({"many": (Old(), Storage())}, 3),
        ({"named": {"a": Storage()}, "hologram": True}, 3),
    ],
)
def test_a_document_needs_the_version_of_the_newest_thing_that_it_really_uses(
    changes: dict[str, Any], version: int
) -> None:
    assert versions.required(Document(**changes)) == version


def test_a_side_reads_the_versions_around_its_own() -> None:
    assert versions.supported(1) == {1, 2}
    assert versions.supported(4) == {3, 4, 5}
    assert versions.supported(contract.CONTRACT_VERSION) == contract.SUPPORTED_VERSIONS


def test_a_configuration_of_today_needs_nothing_newer_than_the_first_version(release: Release) -> None:
    assert release(0, _WRITE)["minContractVersion"] == 1


def test_an_answer_is_never_newer_than_the_question() -> None:
    assert [versions.answering(own, asked) for own, asked in ((1, 1), (2, 1), (1, 2), (2, 2))] == [1, 1, 1, 2]


def test_the_version_of_a_configuration_that_cannot_be_read_is_still_known(tmp_path: Path) -> None:
    directory = ConfigDirectory(tmp_path)
    assert directory.stated_version() == contract.CONTRACT_VERSION
    ours = contract.CONTRACT_VERSION
    for text, version in (
        ('{"contractVersion": 7, "url": 1}', 7),
        ("{", ours),
        ('{"contractVersion": "x"}', ours),
    ):
        (tmp_path / "config.json").write_text(text)
        assert directory.stated_version() == version
