"""The chart and what it repeats of the project stay one: CRDs, versions, schema, README, `helm test`'s script."""

import http.server
import importlib.util
import json
import re
import shutil
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from devstack import charts
from egress_operator import api, names
from support.chart import combinations, render

ROOT = Path(__file__).parents[2]
CHART = yaml.safe_load((charts.CHART / "Chart.yaml").read_text())
VALUES = yaml.safe_load((charts.CHART / "values.yaml").read_text())
SCHEMA = json.loads((charts.CHART / "values.schema.json").read_text())
CRDS = {
    crd["metadata"]["name"]: crd
    for crd in map(yaml.safe_load, map(Path.read_text, sorted((ROOT / "crds").glob("*"))))
}
SPECS = [
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    for crd in CRDS.values()
]


def test_the_charts_versions_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert CHART["appVersion"] == project["version"]
    assert render().container["image"] == f"livekit-egress-operator:{project['version']}"


def test_the_crds_are_rendered_as_they_are_and_are_upgraded_with_the_release() -> None:
    rendered = render()

    found = {crd["metadata"]["name"]: crd for crd in rendered.of("CustomResourceDefinition")}
    assert found.keys() == CRDS.keys()
    for name, crd in found.items():
        assert crd["spec"] == CRDS[name]["spec"]
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert crd["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert not (charts.CHART / "crds").exists()


def test_braces_in_a_crd_are_not_taken_for_a_template(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(charts.CHART, chart)
    crd = chart / "files" / "crds" / "participantegresses.yaml"
    crd.write_text(crd.read_text().replace("Name of the LiveKit room.", "Name {{ .Values.nothing | fail }}"))

    text = charts.helm("template", "egress", chart, "--show-only=templates/crds.yaml")

    assert "Name {{ .Values.nothing | fail }}" in text


@pytest.mark.parametrize(
    ("values", "count", "annotations"),
    [({"install": False}, 0, None), ({"keep": False}, 2, None), ({}, 2, {"helm.sh/resource-policy": "keep"})],
)
def test_crds_are_installed_and_kept_as_the_values_say(
    values: dict[str, bool], count: int, annotations: dict[str, str] | None
) -> None:
    found = render(crds=values).of("CustomResourceDefinition")

    assert [crd["metadata"].get("annotations") for crd in found] == [annotations] * count


def test_artifact_hub_is_told_the_truth() -> None:
    annotations = {
        key.removeprefix("artifacthub.io/"): yaml.safe_load(value)
        for key, value in CHART["annotations"].items()
    }

    assert {(crd["name"], crd["kind"], crd["version"]) for crd in annotations["crds"]} == {
        (f"{plural}.{names.GROUP}", kind, names.VERSION) for kind, plural in names.PLURALS.items()
    }
    rendered = render()
    assert [image["image"] for image in annotations["images"]] == [
        rendered.container["image"],
        rendered.environment["EGRESS_RECORDER_IMAGE"],
    ]
    for example in annotations["crdsExamples"]:
        api.SPECS[example["kind"]].model_validate(example["spec"])
    charts.validate(annotations["crdsExamples"])


def test_every_value_is_in_the_schema_and_documented() -> None:
    """A value without a `# --` comment would be missing in the README's table."""
    documented = set(_documented())

    leaves = set(_leaves(VALUES, SCHEMA))
    assert not {path for path in leaves if not any(path[: len(head)] == head for head in documented)}


def _leaves(values: Any, schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if isinstance(values, dict) and values and "properties" in schema:
        for key, value in values.items():
            yield from _leaves(value, schema["properties"][key], (*path, key))
    else:
        yield path


def _documented() -> Iterator[tuple[str, ...]]:
    generator = _module(ROOT / "docs" / "generate_chart_reference.py")
    for path, comment in generator.documented((charts.CHART / "values.yaml").read_text()):
        assert comment
        yield path


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_table_is_made_from_the_values() -> None:
    generator = _module(ROOT / "docs" / "generate_chart_reference.py")
    current = (charts.CHART / "README.md").read_text()

    assert generator.page(current) == current
    assert '| `livekit.url` | string | `""` |' in current
    assert generator.page(current.replace("LiveKit server of recordings", "Something else")) == current


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_value_that_a_page_sets_exists(page: Path) -> None:
    generator = _module(ROOT / "docs" / "generate_chart_reference.py")
    for path in re.findall(r"--set(?:-string|-json)?[ =]'?\"?([a-zA-Z][\w.]*)", page.read_text()):
        assert generator.type_name(SCHEMA, tuple(path.split("."))), path


def test_the_recorders_template_is_checked_as_a_resources_template() -> None:
    generator = _module(ROOT / "docs" / "generate_chart_reference.py")
    text = generator.SCHEMA.read_text()

    assert generator.schema(text) == text
    for spec in SPECS:
        known = SCHEMA["definitions"]["recorderTemplate"]["properties"]
        assert set(known) == set(spec["template"]["properties"])


def test_the_presets_with_resources_are_the_presets_of_a_resource() -> None:
    known = SCHEMA["properties"]["recorder"]["properties"]["resources"]["properties"]

    for spec in SPECS:
        assert set(known) == set(spec["preset"]["enum"])


def test_every_rendered_object_says_where_it_comes_from() -> None:
    for rendered in combinations().values():
        for document in rendered.documents:
            labels = document["metadata"]["labels"]
            assert labels["app.kubernetes.io/instance"] == "egress"
            assert labels["app.kubernetes.io/name"].startswith("livekit-egress-operator")


class _Operator(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def health_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Operator)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/healthz"
    server.shutdown()
    server.server_close()


@pytest.fixture
def helm_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that the test pod runs, as it is rendered into the pod."""
    (container,) = render().one("Pod")["spec"]["containers"]
    script = tmp_path / "helm_test_rendered.py"
    script.write_text(container["args"][0])
    module = _module(script)
    monkeypatch.setattr(module, "ACCOUNT", tmp_path)
    (tmp_path / "token").write_text("token")
    return module


def test_helm_test_asks_the_operators_service() -> None:
    (container,) = render().one("Pod")["spec"]["containers"]
    service = render().one("Service")

    assert container["command"] == ["python3", "-c"]
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert container["args"][1] == f"http://{name}.egress-system.svc:{port}/healthz"


def test_helm_test_fails_with_a_sentence_when_the_operator_is_ill(
    helm_test: ModuleType, health_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Operator, "status", 503)

    assert "the operator does not answer" in helm_test.problem(health_url)


@pytest.mark.parametrize(
    ("served", "sentence"),
    [
        (["ParticipantEgress", "TrackCompositeEgress"], ""),
        (["ParticipantEgress"], "the API server does not serve TrackCompositeEgress"),
    ],
)
def test_helm_test_looks_for_both_kinds(
    helm_test: ModuleType, monkeypatch: pytest.MonkeyPatch, served: list[str], sentence: str
) -> None:
    answer = json.dumps({"resources": [{"kind": kind} for kind in served]}).encode()
    monkeypatch.setattr(helm_test.ssl, "create_default_context", lambda **_: None)
    monkeypatch.setattr(helm_test, "get", lambda url, *_: answer if url == helm_test.API else b"ok")

    assert helm_test.problem("http://operator/healthz") == sentence
