"""What a user reads after the installation: what is missing, what is half done, what comes next."""

import shutil
from pathlib import Path

import pytest
import yaml

from devstack import charts


@pytest.fixture
def notes_chart(tmp_path: Path) -> Path:
    """The chart with its notes as an object: helm shows them only where it reaches a cluster."""
    chart = tmp_path / "chart"
    shutil.copytree(charts.CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "files" / "NOTES.txt")
    (chart / "templates" / "notes.yaml").write_text(
        'kind: Notes\ntext: {{ tpl (.Files.Get "files/NOTES.txt") . | toJson }}\n'
    )
    return chart


def notes(chart: Path, *arguments: str) -> str:
    """What a user reads after the installation."""
    shown = ["--namespace=egress-system", "--show-only=templates/notes.yaml"]
    text: str = yaml.safe_load(charts.helm("template", "egress", chart, *shown, *arguments))["text"]
    return text


def test_the_notes_say_what_is_missing_and_what_comes_next(notes_chart: Path) -> None:
    bare = notes(notes_chart)

    assert "NoConnection" in bare
    assert "--from-literal=api-key=" in bare
    assert "--set livekit.existingSecret=livekit" in bare
    assert "There is no default storage" in bare
    assert "helm test egress --namespace egress-system" in bare
    assert "kubectl get egress" in bare


def test_the_notes_do_not_miss_what_is_there(notes_chart: Path) -> None:
    whole = notes(
        notes_chart,
        *("--set=livekit.url=wss://livekit.example.com", "--set=livekit.existingSecret=keys"),
        "--set=defaultStorage.pvc.claimName=recordings",
    )

    assert "NoConnection" not in whole
    assert "no default storage" not in whole
    assert "rollout restart deployment/egress-livekit-egress-operator" in whole


def test_the_notes_warn_of_what_is_only_half_done(notes_chart: Path) -> None:
    half = notes(
        notes_chart,
        *("--set=networkPolicy.enabled=true", "--set=metrics.prometheusRule.enabled=true"),
        "--set=crds.keep=false",
    )

    assert "list their namespaces in networkPolicy.recorderNamespaces" in half
    assert "set metrics.serviceMonitor.enabled" in half
    assert "helm uninstall deletes the resources of all recordings" in half
