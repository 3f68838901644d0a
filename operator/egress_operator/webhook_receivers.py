"""Owns which receivers a recording has: the operator's and its own, and which of its own it may not have. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase

from egress_operator.api_webhooks import WebhookConfig
from egress_operator.model import Reason, Recording
from egress_operator.settings import Settings
from egress_operator.webhook_model import Receiver


def of_operator(configs: Sequence[WebhookConfig]) -> tuple[Receiver, ...]:
    """Return the operator-wide receivers; each is known by a hash of its URL, whatever its place in the list becomes."""
    return tuple(
        _receiver(f"operator-{hashlib.sha256(config.url.encode()).hexdigest()[:8]}", config, by_operator=True)
        for config in configs
    )


def of_recording(recording: Recording, settings: Settings) -> tuple[Receiver, ...]:
    """Return all receivers of a recording, without those that it may not have."""
    own = () if problem(recording, settings) else _own(recording)
    return (*of_operator(settings.webhooks), *own)


def problem(recording: Recording, settings: Settings) -> Reason | None:
    """Return why the recording may not have the receivers that its spec names, None when it may."""
    own = _own(recording)
    namespace = recording.key.namespace
    if own and not settings.webhook_allowed_namespaces & {"*", namespace}:
        return Reason(
            "WebhookNotAllowed",
            f"spec.webhooks may not be used from namespace {namespace}: create the resource anew without it, or ask"
            " for the namespace to be allowed",
        )
    for index, receiver in enumerate(own):
        if not may_reach(receiver.host, settings.webhook_allowed_hosts):
            return Reason(
                "WebhookNotAllowed",
                f"spec.webhooks[{index}].url names host {receiver.host or '(unreadable)'}, which the operator may not send to: create the"
                " resource anew with another one, or ask for the host to be allowed",
            )
    return None


def may_reach(host: str, allowed: Sequence[str]) -> bool:
    """Return whether a resource may name this host. An inner address needs to be allowed by name, not by `*`."""
    try:
        inner = is_inner(host)
    except ValueError:
        inner = host == "localhost" or host.endswith(".localhost")
    return bool(host) and any(
        fnmatchcase(host, pattern) for pattern in allowed if not (inner and pattern == "*")
    )


def is_inner(address: str) -> bool:
    """Return True for an address of the operator's own pod or node (loopback, link-local). Raises ValueError.

    The cloud's metadata service is one of these.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast


def _own(recording: Recording) -> tuple[Receiver, ...]:
    configs = (recording.spec and recording.spec.webhooks) or ()
    return tuple(_receiver(f"spec-{index}", config) for index, config in enumerate(configs))


def _receiver(name: str, config: WebhookConfig, *, by_operator: bool = False) -> Receiver:
    filters = config.filter_params
    return Receiver(
        id=name,
        url=config.url,
        signing_key=config.signing_key or "",
        include=frozenset((filters and filters.include_events) or ()),
        exclude=frozenset((filters and filters.exclude_events) or ()),
        by_operator=by_operator,
    )
