"""The commands of the documentation, run on the cluster as they stand: every fenced block that is marked `sh e2e`.

The blocks of a page run in order in one shell (`bash -euo pipefail`), with kubectl and helm on the PATH, in the
repository's directory. What a user fills in comes from the environment; the pages name the variables.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.e2e import deploy, manifests, objectstore, release
from devstack.operatorprocess import REPOSITORY
from support.kind_scene import KindScene

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

_BLOCK = re.compile(r"^```sh e2e\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FIRST = ("docs/install.md", "docs/upgrade.md")
_TIMEOUT = 400


def script(page: Path) -> str:
    """All blocks of a page as one script that says which block it is at; empty when there is none."""
    text = page.read_text()
    blocks = []
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        blocks.append(f"echo '== {page.relative_to(REPOSITORY)}:{line}'\n{block.group(1)}")
    return "\n".join(blocks)


def pages() -> list[str]:
    """The pages with such blocks: installing, upgrading, then the others."""
    files = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    found = [str(page.relative_to(REPOSITORY)) for page in files if script(page)]
    return sorted(found, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))


@pytest.fixture(scope="module")
def own_release(kind_cluster: None) -> Iterator[None]:
    """The release gets the values of the end-to-end cluster again when the pages are through."""
    yield
    release.upgrade()


@pytest.fixture
def filled_in(kind_scene: KindScene, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a user of the pages fills in: this cluster's LiveKit and S3 server, and the images of this machine."""
    namespace_from_git = f"{kind_scene.namespace}-git"
    values = tmp_path / "my-values.json"
    images = {key: release.values()[key] for key in ("image", "recorder", "podAnnotations")}
    values.write_text(json.dumps(images))
    connection = deploy.secret(manifests.LIVEKIT_NAMESPACE, manifests.SERVER_SECRET)
    keys = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
    yield {
        **deploy.command_environment(),
        **{key: connection[key] for key in keys},
        "EGRESS_HELM_ARGS": f"--values {values}",
        "RECORDINGS_NAMESPACE": kind_scene.namespace,
        "GITOPS_NAMESPACE": namespace_from_git,
        "ROOM": kind_scene.room,
        "IDENTITY": "alice",
        "S3_ENDPOINT": objectstore.ENDPOINT,
        "S3_BUCKET": objectstore.BUCKET,
        "S3_REGION": objectstore.REGION,
        "S3_ACCESS_KEY": kind_scene.store.keys["access_key"],
        "S3_SECRET_KEY": kind_scene.store.keys["secret"],
    }
    # The page deletes it, unless one of its commands has failed.
    deploy.kubectl("delete", "namespace", namespace_from_git, "--ignore-not-found", "--wait=false")


@pytest.mark.usefixtures("own_release")
@pytest.mark.parametrize("page", pages())
def test_the_commands_of_the_page_do_what_it_says(
    page: str, kind_scene: KindScene, filled_in: dict[str, str]
) -> None:
    with kind_scene.publisher():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script(REPOSITORY / page)],
            cwd=REPOSITORY,
            env=filled_in,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]


def test_installing_upgrading_and_waiting_in_a_pipeline_are_among_the_pages() -> None:
    assert {"docs/install.md", "docs/upgrade.md", "docs/gitops/README.md"} <= set(pages())
