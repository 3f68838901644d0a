"""Monitors, alerts and dashboard: off by default, and every metric they name is one that is really served."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import egress_operator
from devstack import charts
from egress_operator import names
from egress_operator.metrics import Metrics
from egress_recorder import contract
from egress_recorder import metrics as recorder_metrics
from support.chart import FULL_NAME, combinations, render

FILES = charts.CHART / "files"
_SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ", re.MULTILINE)
_SELECTOR = re.compile(r"\b([a-z][a-z_]*[a-z])\s*(\{[^}]*\})?(?=[\s\[\]){}><=*/]|$)")
_WORDS = {
    *("and", "or", "unless", "on", "by", "ignoring", "without", "sum", "rate", "increase", "absent", "time"),
    *("histogram_quantile", "max", "min", "avg", "count"),
}
# Prometheus' own series, and the labels that a monitor adds to each of ours.
_OWN = {"up"}
_TARGET_LABELS = {"namespace", "pod", "job", "le"}


def served() -> dict[str, set[str]]:
    """Name → labels of every sample that operator and recorder expose."""
    operator = Metrics()
    operator.api_calls.labels("get", "jobs", "200")
    operator.reconciles.labels("done")
    operator.recordings.labels("Active")
    operator.finished.labels("Failed")
    operator.polls.labels("ok")
    operator.room_lists.labels("ok")
    recorder, _ = recorder_metrics.render(contract.RecorderStatus(egress_id="EG_x", part=1))
    found: dict[str, set[str]] = {}
    for name, labels in _SAMPLE.findall(operator.render().decode() + recorder.decode()):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((FILES / "alerts.yaml").read_text())
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the metrics of an expression with the labels they are selected by."""
    bare = re.sub(r"\b(?:by|on|without|ignoring)\s*\([^)]*\)", "", expression)
    for name, matchers in _SELECTOR.findall(re.sub(r"\[[^\]]*\]", "", bare)):
        if name not in _WORDS:
            yield name, set(re.findall(r"(\w+)\s*[=!]", matchers))


def test_nothing_of_it_is_rendered_by_default() -> None:
    rendered = render()

    for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"):
        assert not rendered.of(kind)


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_expression_asks_for_metrics_and_labels_that_are_served(expression: str) -> None:
    known = served()
    found = dict(selectors(expression))

    assert found, expression
    for name, labels in found.items():
        if name in _OWN:
            continue
        assert name in known, f"{name} is served neither by the operator nor by a recorder"
        assert labels <= known[name] | _TARGET_LABELS
    assert expression.count("(") == expression.count(")")


def test_the_words_that_labels_are_compared_with_exist() -> None:
    """`outcome="error"` would stay silent for ever if the operator called it `failed`."""
    source = "".join(path.read_text() for path in Path(egress_operator.__file__).parent.glob("*.py"))
    for expression in expressions():
        for label, words in re.findall(r'(outcome|phase)=~?"([^"$]+)"', expression):
            for word in words.split("|"):
                assert f'"{word}"' in source, f"{label}={word}"


def test_every_alert_says_how_bad_it_is_and_what_it_means() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"]


def test_the_alerts_are_rendered_for_this_release_and_keep_prometheus_own_templates() -> None:
    (group,) = combinations()["everything"].one("PrometheusRule")["spec"]["groups"]

    assert len(group["rules"]) == len(rules())
    assert "OPERATOR_" not in json.dumps(group)
    rendered = {rule["alert"]: rule for rule in group["rules"]}
    down = rendered["LiveKitEgressOperatorDown"]["expr"]
    assert down == 'absent(up{namespace="egress-system", job="recorder-control"} == 1)'
    assert "{{ $labels.pod }}" in rendered["LiveKitEgressRecorderIdle"]["annotations"]["description"]


def test_the_dashboard_is_rendered_as_it_is() -> None:
    text = combinations()["everything"].one("ConfigMap")["data"]["livekit-egress-operator.json"]

    assert json.loads(text) == dashboard()


def test_the_dashboards_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    panels = dashboard()["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}

    assert len(places) == len(panels) == len({panel["id"] for panel in panels})
    assert render(metrics={"grafanaDashboard": {"enabled": True}}).one("ConfigMap")["metadata"]["labels"][
        "grafana_dashboard"
    ] == ("1")


def test_the_service_monitor_finds_the_operators_service() -> None:
    rendered = render(metrics={"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}})

    monitor, service = rendered.one("ServiceMonitor"), rendered.one("Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["metadata"]["name"] == FULL_NAME


@pytest.mark.parametrize(
    ("namespaces", "selector"),
    [([], {"any": True}), (["meetings", "webinars"], {"matchNames": ["meetings", "webinars"]})],
)
def test_the_pod_monitor_finds_recorders_wherever_the_operator_starts_them(
    namespaces: list[str], selector: dict[str, Any]
) -> None:
    rendered = render(watchNamespaces=namespaces, metrics={"podMonitor": {"enabled": True}})

    spec = rendered.one("PodMonitor")["spec"]
    assert spec["namespaceSelector"] == selector
    assert spec["selector"]["matchLabels"] == {names.LABEL_MANAGED_BY: names.MANAGED_BY}
    assert spec["podMetricsEndpoints"][0]["port"] == "control"
