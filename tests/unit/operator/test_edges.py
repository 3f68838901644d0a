"""The edges: settings, units, tokens, schema generation, log and health; each refusal names the field."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_operator import api, crds, health, log, names, settings, units
from egress_operator.connections import Connection
from egress_operator.errors import SettingsError, redact
from egress_operator.schema import camel
from egress_operator.tokens import recorder_token
from egress_recorder.contract import TOKENS, NameValues, resolve_filepath
from support.operator_builders import NOW

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("500ms", 0.5), ("1.5h", 5400), ("0s", 0), ("0", 0)]
)
def test_durations_are_go_syntax(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "soon", "-5s", "1d", "s", "5 s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="30s"):
        units.parse_duration(text)


@given(st.integers(min_value=0, max_value=10**10))
def test_durations_survive_formatting(milliseconds: int) -> None:
    assert units.parse_duration(units.format_duration(milliseconds / 1000)) == pytest.approx(
        milliseconds / 1000, abs=1e-4
    )


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("10Gi", 10 * 2**30),
        ("1.5Ki", 1536),
        ("500M", 5 * 10**8),
        (7, 7),
        ("1e3", 1000),
        ("100m", 1),
        ("2E", 2 * 10**18),
    ],
)
def test_quantities_are_kubernetes_quantities(value: str | int, number: int) -> None:
    assert units.parse_quantity(value) == number


@pytest.mark.parametrize("value", ["", "ten", "10GB", "Gi", "1..2"])
def test_what_is_no_quantity_is_refused_with_an_example(value: str) -> None:
    with pytest.raises(ValueError, match="10Gi"):
        units.parse_quantity(value)


def test_the_committed_crds_are_those_of_the_models() -> None:
    for kind, plural in names.PLURALS.items():
        assert (ROOT / "crds" / f"{plural}.yaml").read_text() == crds.render(kind), (
            "run python -m egress_operator.crds"
        )


def test_crds_check_writes_nothing_and_fails_when_a_file_differs(tmp_path: Path) -> None:
    assert crds.main([str(tmp_path), "--check"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert crds.main([str(tmp_path)]) == 0
    assert crds.main([str(tmp_path), "--check"]) == 0


def test_every_field_but_three_is_in_the_immutability_rule() -> None:
    for kind, model in api.SPECS.items():
        rule = api.SPEC_RULES[kind][-1]["rule"]
        for name in model.model_fields:
            assert (f"oldSelf.{camel(name)})" in rule) == (name not in api.MUTABLE)
        assert api.MUTABLE == ("desired_state", "template", "ttl_seconds_after_finished")


def test_every_string_and_list_of_a_spec_is_bounded() -> None:
    def unbounded(schema: dict[str, object], path: str) -> list[str]:
        found = []
        kind = schema.get("type")
        if kind == "string" and not {"maxLength", "enum"} & schema.keys():
            found.append(path)
        if kind == "array" and "maxItems" not in schema:
            found.append(path)
        if "additionalProperties" in schema and "maxProperties" not in schema:
            found.append(path)
        for name, child in schema.get("properties", {}).items():  # type: ignore[attr-defined]
            found += unbounded(child, f"{path}.{name}")
        for inner in ("items", "additionalProperties"):
            if isinstance(schema.get(inner), dict):
                found += unbounded(schema[inner], f"{path}[]")  # type: ignore[arg-type]
        return found

    for kind in names.PLURALS:
        version = crds.manifest(kind)["spec"]["versions"][0]
        assert unbounded(version["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec") == []


def test_the_schemas_tokens_are_those_that_the_contract_resolves() -> None:
    values = NameValues(
        requested_at=NOW,
        part=1,
        **{
            token: token
            for token in TOKENS
            if token in NameValues.model_fields and token not in {"part", "requested_at"}
        },
    )
    path = resolve_filepath("-".join(f"{{{token}}}" for token in TOKENS), values)

    assert "{" not in path


def test_settings_have_defaults_that_need_nothing() -> None:
    made = settings.load({})

    assert not made.has_default_connection
    assert made.recorder_command == ("egress-recorder",)
    assert made.default_allowed_namespaces == {"*"}


@pytest.mark.parametrize(
    ("environment", "names_"),
    [
        ({"LIVEKIT_URL": "wss://x"}, "LIVEKIT_API_KEY"),
        (
            {"LIVEKIT_URL": "x", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s"},
            "LIVEKIT_URL must begin with",
        ),
        ({"EGRESS_OPERATOR_PORT": "http"}, "EGRESS_OPERATOR_PORT"),
        ({"EGRESS_OPERATOR_PORT": "70000"}, "EGRESS_OPERATOR_PORT"),
        ({"EGRESS_RECORDER_COMMAND": "[1]"}, "EGRESS_RECORDER_COMMAND"),
        ({"EGRESS_RECORDER_COMMAND": "'a"}, "EGRESS_RECORDER_COMMAND"),
        ({"EGRESS_OPERATOR_CRASH_AT": "now"}, "EGRESS_OPERATOR_CRASH_AT"),
        ({"EGRESS_LOG_LEVEL": "loud"}, "EGRESS_LOG_LEVEL"),
        ({"EGRESS_RESYNC_SECONDS": "0"}, "EGRESS_RESYNC_SECONDS"),
        ({"EGRESS_JOB_TTL_SECONDS": "-1"}, "EGRESS_JOB_TTL_SECONDS"),
        ({"EGRESS_RECORDER_IMAGE_PULL_POLICY": "Sometimes"}, "IfNotPresent, Always, Never"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(environment: dict[str, str], names_: str) -> None:
    with pytest.raises(SettingsError, match=names_):
        settings.load(environment)


def test_settings_do_not_show_the_api_secret() -> None:
    made = settings.load({"LIVEKIT_URL": "wss://x", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "hush"})

    assert "hush" not in repr(made)
    assert "hush" not in repr(Connection("wss://x", "k", "hush"))


def test_a_recorders_token_is_for_one_room_hidden_and_cannot_publish() -> None:
    secret = "s" * 32
    token = recorder_token(Connection("ws://x", "key", secret), room_name="standup", identity="EG_1-2")
    claims = jwt.decode(token, secret, algorithms=["HS256"])

    assert claims["sub"] == "EG_1-2"
    assert claims["kind"] == "egress"
    assert claims["exp"] - claims["nbf"] == pytest.approx(24 * 3600, abs=2)
    video = claims["video"]
    assert (video["room"], video["roomJoin"], video["hidden"], video["recorder"]) == (
        "standup",
        True,
        True,
        True,
    )
    assert (video["canSubscribe"], video["canPublish"], video["canPublishData"]) == (True, False, False)
    assert not {"roomCreate", "roomAdmin", "roomList"} & {name for name, value in video.items() if value}


def test_identities_of_parts_differ() -> None:
    assert names.livekit_identity("EG_1", 1) == "EG_1"
    assert names.livekit_identity("EG_1", 2) == "EG_1-2"


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
        "wss://x/rtc?access_token=abc.def&v=1",
        "https://user:pass@host/path",
        "?X-Amz-Signature=deadbeef&x",
        "key AKIAABCDEFGHIJKLMNOP",
    ],
)
def test_secrets_are_taken_out_of_texts(text: str) -> None:
    clean = redact(f"before {text} after")

    for hidden in ("c2ln", "abc.def", "user:pass", "deadbeef", "AKIAABCDEFGHIJKLMNOP"):
        assert hidden not in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")


def test_a_log_line_is_json_with_fields_and_without_tokens() -> None:
    record = logging.LogRecord("egress", logging.INFO, "", 0, "phase changed %s", ("eyJhbGciOi.x.y",), None)
    record.fields = {"room": "standup", "url": "wss://u:p@x"}
    line = json.loads(log.JsonFormatter().format(record))

    assert line["room"] == "standup"
    assert line["level"] == "info"
    assert "eyJ" not in json.dumps(line)
    assert "u:p" not in json.dumps(line)


def test_the_kubernetes_client_never_logs_bodies() -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        log.configure("DEBUG")
        assert not logging.getLogger("kubernetes.aio.client.rest").isEnabledFor(logging.DEBUG)
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)


@pytest.mark.parametrize(
    ("oldest", "silence", "word"),
    [(0.0, 0.0, ""), (179.0, 600.0, ""), (181.0, 0.0, "reconciliation"), (0.0, 661.0, "API server")],
)
def test_liveness_is_the_age_of_work_and_of_the_last_answer(oldest: float, silence: float, word: str) -> None:
    trouble = health.problem(oldest_reconcile=oldest, api_silence=silence, api_limit=660)

    assert (word in trouble) if word else trouble == ""
