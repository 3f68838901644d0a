"""Probes: thresholds, order, and what is said of failures."""

from __future__ import annotations

import pytest

from devstack.podrunner.probes import Probe, Prober, parse_probes

pytestmark = pytest.mark.unit


def prober(*kinds: str, threshold: int = 2) -> tuple[Prober, list[str], list[str]]:
    changes: list[str] = []
    events: list[str] = []
    probes = {kind: Probe(kind, "/", 1, failure_threshold=threshold) for kind in kinds}
    made = Prober(probes, "127.0.0.1", changed=lambda: changes.append("x"), unhealthy=events.append)
    return made, changes, events


def is_ready(made: Prober) -> bool:
    return made.ready


def feed(made: Prober, kind: str, *problems: str) -> None:
    for problem in problems:
        made.take(kind, problem)


def test_without_probes_a_container_is_started_and_ready_at_once() -> None:
    made, _, _ = prober()
    assert (made.started, made.ready) == (True, True)


def test_readiness_turns_at_its_threshold_and_says_each_new_problem_once() -> None:
    made, changes, events = prober("readiness")
    feed(made, "readiness", "refused", "refused", "503", "503")
    assert (is_ready(made), changes) == (False, [])
    feed(made, "readiness", "")
    assert is_ready(made)
    feed(made, "readiness", "503")
    assert is_ready(made)
    feed(made, "readiness", "503")
    assert not is_ready(made)
    assert len(changes) == 2
    assert events == [f"Readiness probe failed: {text}" for text in ("refused", "503", "503")]


def test_liveness_fails_after_its_threshold_in_a_row() -> None:
    made, changes, _ = prober("liveness")
    feed(made, "liveness", "a", "", "a")
    assert not changes
    feed(made, "liveness", "a")
    assert made.failed == "Container failed liveness probe, will be killed"


def test_until_the_startup_probe_succeeds_no_other_is_asked() -> None:
    made, _, _ = prober("startup", "liveness", "readiness")
    assert made.asked() == ["startup"]
    assert not made.ready
    feed(made, "startup", "")
    assert made.asked() == ["liveness", "readiness"]
    made.terminating()
    assert made.asked() == ["readiness"]


def test_named_ports_and_defaults_are_resolved() -> None:
    container = {
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
    }
    assert parse_probes(container) == {"readiness": Probe("readiness", "/readyz", 8080)}


def test_probes_that_are_not_http_are_refused() -> None:
    with pytest.raises(ValueError, match="knows only httpGet probes; livenessProbe has none"):
        parse_probes({"livenessProbe": {"exec": {"command": ["true"]}}})
