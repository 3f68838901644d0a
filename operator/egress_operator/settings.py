"""Owns the operator's configuration: one validated object per process, read from the environment once.

| variable | meaning |
|---|---|
| LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET | default LiveKit connection; all three or none |
| EGRESS_DEFAULT_ALLOWED_NAMESPACES | namespaces that may use it, comma separated; `*` (default): all |
| EGRESS_DEFAULT_STORAGE | JSON, `{"s3": {…}}`, `{"pvc": {…}}` or another kind, as in a resource: destination of outputs that name none; absent: none |
| EGRESS_DEFAULT_STORAGE_ALLOWED_NAMESPACES | namespaces that may use it, comma separated; `*` (default): all |
| EGRESS_BACKUP_STORAGE | JSON, as EGRESS_DEFAULT_STORAGE: where the file of an output without `backupStorage` goes when its storage has failed; absent: none |
| EGRESS_BACKUP_STORAGE_ALLOWED_NAMESPACES | namespaces that may use it, comma separated; `*` (default): all |
| EGRESS_WEBHOOKS | JSON list of the shape of `spec.webhooks`: receivers of all recordings' events, signed with LIVEKIT_API_KEY |
| EGRESS_WEBHOOK_ALLOWED_NAMESPACES | namespaces that may use `spec.webhooks`, comma separated; `*` (default): all |
| EGRESS_WEBHOOK_ALLOWED_HOSTS | hosts that `spec.webhooks` may name, comma separated, `*.example.com` too; `*` (default): all but loopback and link-local |
| EGRESS_RECORDER_IMAGE | image of the recorder's pods |
| EGRESS_RECORDER_IMAGE_PULL_POLICY | IfNotPresent (default), Always or Never |
| EGRESS_RECORDER_TEMPLATE | JSON of the shape of `spec.template`: defaults of every recorder's pod, the resource's own win |
| EGRESS_RECORDER_RESOURCES | JSON, preset name to `{"requests": {…}, "limits": {…}}`: instead of the built-in table's |
| EGRESS_RECORDER_COMMAND | overrides the container's command: JSON list or shell words |
| KUBECONFIG | path; absent: in-cluster |
| WATCH_NAMESPACES | namespaces to serve, comma separated; absent: the whole cluster |
| EGRESS_OPERATOR_BIND | `HOST`, default all addresses of the pod |
| EGRESS_OPERATOR_PORT | `/healthz` and `/metrics`, default 8081; 0 takes a free port and logs it |
| EGRESS_TERMINATION_GRACE_SECONDS | grace of a recorder's pod, default 600 |
| EGRESS_JOB_TTL_SECONDS | how long finished Jobs are kept, default 3600 |
| EGRESS_RESYNC_SECONDS | full re-listing, default 300 |
| EGRESS_LOG_LEVEL | default INFO |
| EGRESS_OPERATOR_CRASH_AT | only for tests: the process dies hard after-secret, after-job or before-final-status |
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from egress_operator import settings_json
from egress_operator.api_storage import Storage
from egress_operator.api_template import Resources, Template
from egress_operator.api_webhooks import WebhookConfig
from egress_operator.errors import SettingsError

PullPolicy = Literal["IfNotPresent", "Always", "Never"]
CrashPoint = Literal["", "after-secret", "after-job", "before-final-status"]
CRASH_POINTS: tuple[CrashPoint, ...] = ("", "after-secret", "after-job", "before-final-status")
PULL_POLICIES: tuple[PullPolicy, ...] = ("IfNotPresent", "Always", "Never")

DEFAULT_IMAGE = "livekit-egress-recorder:0.1.0"


class Settings(BaseModel):
    """Everything that is decided at start. Times in seconds."""

    model_config = ConfigDict(frozen=True)

    livekit_url: str = ""
    livekit_api_key: str = ""
    livekit_api_secret: str = Field(default="", repr=False)
    default_allowed_namespaces: frozenset[str] = frozenset({"*"})
    default_storage: Storage | None = None
    storage_allowed_namespaces: frozenset[str] = frozenset({"*"})
    backup_storage: Storage | None = None
    backup_allowed_namespaces: frozenset[str] = frozenset({"*"})
    webhooks: tuple[WebhookConfig, ...] = Field(default=(), repr=False)
    webhook_allowed_namespaces: frozenset[str] = frozenset({"*"})
    webhook_allowed_hosts: tuple[str, ...] = ("*",)
    recorder_image: str = DEFAULT_IMAGE
    pull_policy: PullPolicy = "IfNotPresent"
    recorder_template: Template | None = None
    recorder_resources: Mapping[str, Resources] = {}
    recorder_command: tuple[str, ...] = ("egress-recorder",)
    kubeconfig: str = ""
    watch_namespaces: tuple[str, ...] = ()
    bind: str = "0.0.0.0"
    port: int = Field(default=8081, ge=0, le=65535)
    termination_grace_seconds: int = Field(default=600, ge=1)
    resync_seconds: float = Field(default=300.0, ge=1)
    job_ttl_seconds: int = Field(default=3600, ge=0)
    workers: int = 16
    log_level: str = "INFO"
    crash_at: CrashPoint = ""

    @property
    def has_default_connection(self) -> bool:
        """True when recordings without `spec.livekit` can be served."""
        return bool(self.livekit_url)


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises SettingsError with a sentence that names the variable."""
    default = (
        environment.get("LIVEKIT_URL", ""),
        environment.get("LIVEKIT_API_KEY", ""),
        environment.get("LIVEKIT_API_SECRET", ""),
    )
    if any(default) and not all(default):
        raise SettingsError("LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be set together")
    if default[0] and not default[0].startswith(("ws://", "wss://", "http://", "https://")):
        raise SettingsError("LIVEKIT_URL must begin with ws://, wss://, http:// or https://")
    crash_at = environment.get("EGRESS_OPERATOR_CRASH_AT", "")
    if crash_at not in CRASH_POINTS:
        raise SettingsError(f"EGRESS_OPERATOR_CRASH_AT must be one of {', '.join(CRASH_POINTS[1:])}")
    level = environment.get("EGRESS_LOG_LEVEL", "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise SettingsError("EGRESS_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR")
    pull_policy = environment.get("EGRESS_RECORDER_IMAGE_PULL_POLICY") or "IfNotPresent"
    if pull_policy not in PULL_POLICIES:
        raise SettingsError(f"EGRESS_RECORDER_IMAGE_PULL_POLICY must be one of {', '.join(PULL_POLICIES)}")
    return Settings(
        livekit_url=default[0],
        livekit_api_key=default[1],
        livekit_api_secret=default[2],
        default_allowed_namespaces=frozenset(
            _words(environment.get("EGRESS_DEFAULT_ALLOWED_NAMESPACES", "*"))
        ),
        default_storage=settings_json.storage(environment),
        storage_allowed_namespaces=frozenset(
            _words(environment.get("EGRESS_DEFAULT_STORAGE_ALLOWED_NAMESPACES", "*"))
        ),
        backup_storage=settings_json.storage(environment, settings_json.BACKUP),
        backup_allowed_namespaces=frozenset(
            _words(environment.get("EGRESS_BACKUP_STORAGE_ALLOWED_NAMESPACES", "*"))
        ),
        webhooks=settings_json.webhooks(environment, api_key=default[1]),
        webhook_allowed_namespaces=frozenset(
            _words(environment.get("EGRESS_WEBHOOK_ALLOWED_NAMESPACES", "*"))
        ),
        webhook_allowed_hosts=tuple(_words(environment.get("EGRESS_WEBHOOK_ALLOWED_HOSTS", "*").lower())),
        recorder_image=environment.get("EGRESS_RECORDER_IMAGE") or DEFAULT_IMAGE,
        pull_policy=pull_policy,
        recorder_template=settings_json.template(environment),
        recorder_resources=settings_json.resources(environment),
        recorder_command=_command(environment.get("EGRESS_RECORDER_COMMAND", "")),
        kubeconfig=environment.get("KUBECONFIG", ""),
        watch_namespaces=tuple(sorted(set(_words(environment.get("WATCH_NAMESPACES", ""))))),
        bind=environment.get("EGRESS_OPERATOR_BIND") or "0.0.0.0",
        port=_number(environment, "EGRESS_OPERATOR_PORT", 8081, low=0, high=65535),
        termination_grace_seconds=_number(environment, "EGRESS_TERMINATION_GRACE_SECONDS", 600, low=1),
        resync_seconds=_number(environment, "EGRESS_RESYNC_SECONDS", 300, low=1),
        job_ttl_seconds=_number(environment, "EGRESS_JOB_TTL_SECONDS", 3600, low=0),
        log_level=level,
        crash_at=crash_at,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _number(environment: Mapping[str, str], name: str, default: int, *, low: int, high: int = 10**9) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdigit() or not low <= int(text) <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


def _command(text: str) -> tuple[str, ...]:
    if not text:
        return ("egress-recorder",)
    try:
        words = json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    except ValueError as error:
        raise SettingsError(
            f"EGRESS_RECORDER_COMMAND is neither a JSON list nor shell words: {error}"
        ) from None
    if not words or not all(isinstance(word, str) for word in words):
        raise SettingsError("EGRESS_RECORDER_COMMAND must be a list of strings")
    return tuple(words)
