"""Which receivers a recording has, which key signs for each, and where the operator does not send."""

from __future__ import annotations

import base64
import json
from typing import Any, Self, cast

import aiohttp
import pytest
from livekit import api

from egress_operator import settings, webhook_post, webhook_receivers
from egress_operator.connections import Connections
from egress_operator.errors import ApiError, ConnectionProblem, SettingsError
from egress_operator.kube import Kube
from egress_operator.model import Recording
from egress_operator.settings import Settings
from egress_operator.webhook_model import Receiver
from egress_operator.webhook_post import Poster
from support.operator_builders import recording

pytestmark = pytest.mark.unit

URL = "https://app.example.com/hook?token=hush"
LIVEKIT = {"LIVEKIT_URL": "wss://lk", "LIVEKIT_API_KEY": "operators", "LIVEKIT_API_SECRET": "s" * 32}
OWN = {"url": "wss://other", "credentialsSecretRef": {"name": "keys"}}


def configured(**environment: Any) -> Settings:
    return settings.load(LIVEKIT | {name: str(value) for name, value in environment.items()})


def operators(*receivers: Any) -> Settings:
    return configured(EGRESS_WEBHOOKS=json.dumps(receivers))


# ---- who gets events -------------------------------------------------------------------------------------------


def test_a_recording_has_the_operators_receivers_and_its_own() -> None:
    made = recording(webhooks=[{"url": URL, "filterParams": {"excludeEvents": ["egress_updated"]}}])
    found = webhook_receivers.of_recording(made, operators({"url": "http://inside/x"}, {"url": "http://b"}))

    assert [one.by_operator for one in found] == [True, True, False]
    assert found[2].id == "spec-0"
    assert found[2].wants("egress_ended")
    assert not found[2].wants("egress_updated")
    assert found[2].origin == "https://app.example.com"
    assert "hush" not in repr(found)
    # The place in the operator's list does not matter: the status knows a receiver by this name.
    again = webhook_receivers.of_recording(made, operators({"url": "http://b"}, {"url": "http://inside/x"}))
    assert {one.id for one in again} == {one.id for one in found}


def test_what_is_included_goes_before_what_is_excluded() -> None:
    both = Receiver("a", URL, include=frozenset({"egress_ended"}), exclude=frozenset({"egress_ended"}))

    assert [both.wants(event) for event in ("egress_started", "egress_ended")] == [False, True]


def test_a_namespace_that_may_not_use_webhooks_keeps_the_operators_receivers() -> None:
    made = recording(webhooks=[{"url": URL}])
    limited = configured(
        EGRESS_WEBHOOK_ALLOWED_NAMESPACES="trusted", EGRESS_WEBHOOKS=json.dumps([{"url": "http://b"}])
    )
    problem = webhook_receivers.problem(made, limited)

    assert problem is not None
    assert problem.reason == "WebhookNotAllowed"
    assert "may not be used from namespace calls" in problem.message
    assert [one.url for one in webhook_receivers.of_recording(made, limited)] == ["http://b"]
    assert webhook_receivers.problem(recording(), limited) is None


@pytest.mark.parametrize(
    ("host", "allowed", "may"),
    [
        ("app.example.com", ("*",), True),
        ("app.example.com", ("*.example.com",), True),
        ("example.com", ("*.example.com",), False),
        ("example.com.evil.net", ("*.example.com", "example.com"), False),
        ("10.0.0.7", ("*",), True),
        ("127.0.0.1", ("*",), False),
        ("127.0.0.1", ("*", "127.0.0.1"), True),
        ("localhost", ("*",), False),
        ("a.localhost", ("*",), False),
        ("169.254.169.254", ("*",), False),
        ("::1", ("*",), False),
        ("::ffff:127.0.0.1", ("*",), False),
        ("fe80::1", ("*",), False),
        ("0.0.0.0", ("*",), False),
        ("224.0.0.1", ("*",), False),
        ("app.example.com", (), False),
        ("ex\u33c2mple.com", ("*.example.com",), False),
        ("x:y", ("*",), False),
    ],
)
def test_a_resource_may_name_the_hosts_that_are_allowed_and_inner_ones_only_by_name(
    host: str, allowed: tuple[str, ...], may: bool
) -> None:
    literal = f"[{host}]" if host.count(":") > 1 else host
    made = recording(webhooks=[{"url": f"http://{literal}:8080/x"}])
    refused = webhook_receivers.problem(made, Settings(webhook_allowed_hosts=allowed))
    assert (refused is None) is may


# ---- settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("{", "EGRESS_WEBHOOKS is not JSON"),
        ("{}", "EGRESS_WEBHOOKS must be a JSON list of at most 20 receivers"),
        ('[{"url": "http://x"}, {"signingKey": "k"}]', "EGRESS_WEBHOOKS: 1.url: Field required"),
        ('[{"url": "https://u:hush@x"}]', "EGRESS_WEBHOOKS: 0.url must be an http:// or https:// URL without user"),
        ('[{"url": "ftp://x"}]', "EGRESS_WEBHOOKS: 0.url must be an http:// or https:// URL"),
        ('[{"url": "http://x", "secret": "hush"}]', "EGRESS_WEBHOOKS: 0.secret is not known"),
        ('[{"url": "http://x", "signingKey": "k"}]', "EGRESS_WEBHOOKS: 0.signingKey must be the name in LIVEKIT_API_KEY"),
        ('[{"url": "http://x", "filterParams": {"includeEvents": ["egress_end"]}}]', "includeEvents"),
        ('[{"url": "http://x"}, {"url": "http://x"}]', "EGRESS_WEBHOOKS names a url twice"),
    ],
)  # fmt: skip
def test_wrong_receivers_of_the_operator_end_it_with_a_sentence(given: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        configured(EGRESS_WEBHOOKS=given)

    assert sentence in str(refused.value)
    assert "hush" not in str(refused.value)


def test_receivers_of_the_operator_need_its_key() -> None:
    with pytest.raises(SettingsError, match="EGRESS_WEBHOOKS needs a key that signs"):
        settings.load({"EGRESS_WEBHOOKS": '[{"url": "http://x"}]'})
    assert operators({"url": "http://x", "signingKey": "operators"}).webhooks


# ---- the key that signs ----------------------------------------------------------------------------------------


class Secrets:
    """Answers with one Secret, or none; counts."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.reads = 0

    async def get(self, *_: object) -> dict[str, Any] | None:
        self.reads += 1
        data = {name: base64.b64encode(value.encode()).decode() for name, value in self.values.items()}
        return {"data": data} if data else None


KEYS = {"api-key": "tenants", "api-secret": "t" * 32, "signer": "u" * 32}


@pytest.mark.parametrize(
    ("wanted", "livekit", "key"),
    [
        ("", None, ("operators", "s" * 32)),
        ("operators", None, ("operators", "s" * 32)),
        ("", OWN, ("tenants", "t" * 32)),
        ("tenants", OWN, ("tenants", "t" * 32)),
        ("signer", OWN, ("signer", "u" * 32)),
        ("operators", OWN, ("operators", "s" * 32)),
    ],
)
async def test_the_key_is_the_connections_one_of_its_secret_or_the_operators(
    wanted: str, livekit: dict[str, Any] | None, key: tuple[str, str]
) -> None:
    kube = Secrets(**KEYS)
    connections = Connections(configured(), cast("Kube", kube))
    made = recording(**({"livekit": livekit} if livekit else {}))

    assert await connections.signing_key(made, Receiver("spec-0", URL, wanted)) == key
    assert await connections.signing_key(made, Receiver("spec-0", URL, wanted)) == key
    assert kube.reads <= 1


@pytest.mark.parametrize(
    ("wanted", "livekit"), [("nobody", None), ("nobody", OWN), ("api-secret", OWN), ("signer", None)]
)
async def test_an_unknown_name_is_refused_with_the_way_out(
    wanted: str, livekit: dict[str, Any] | None
) -> None:
    connections = Connections(configured(), cast("Kube", Secrets(**KEYS)))
    made = recording(**({"livekit": livekit} if livekit else {}))

    with pytest.raises(ConnectionProblem) as refused:
        await connections.signing_key(made, Receiver("spec-0", URL, wanted))
    assert refused.value.reason == "UnknownSigningKey"
    assert f"signingKey {wanted} names no key" in refused.value.message


async def test_the_operators_key_signs_only_where_its_connection_may_be_used() -> None:
    limited = configured(EGRESS_DEFAULT_ALLOWED_NAMESPACES="trusted")
    connections = Connections(limited, cast("Kube", Secrets(**KEYS)))

    with pytest.raises(ConnectionProblem, match="names no key"):
        await connections.signing_key(recording(livekit=OWN), Receiver("spec-0", URL, "operators"))
    # The operator's own receivers hear of every recording.
    by_operator = Receiver("operator-1", URL, by_operator=True)
    assert await connections.signing_key(recording(livekit=OWN), by_operator) == ("operators", "s" * 32)


# ---- the request -----------------------------------------------------------------------------------------------


class Network:
    """Stands for aiohttp's session."""

    def __init__(self, status: int = 200, error: Exception | None = None) -> None:
        self.status, self.error = status, error
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def post(self, url: str, **options: Any) -> Network:
        self.requests.append((url, options))
        return self

    async def __aenter__(self) -> Self:
        if self.error is not None:
            raise self.error
        return self

    async def __aexit__(self, *_: object) -> None:
        return


async def _key(_: Recording, __: Receiver) -> tuple[str, str]:
    return "operators", "s" * 32


def poster(network: Network, key_of: webhook_post.KeyOf = _key) -> Poster:
    made = Poster(configured(), key_of=key_of)
    made._own = made._foreign = cast("aiohttp.ClientSession", network)
    return made


RECEIVER = Receiver("spec-0", URL)


async def send(made: Poster) -> Any:
    return await made.send(recording(), RECEIVER, b'{"event":"egress_ended"}', sequence=4, event_id="EV_x")


async def test_a_request_is_livekits_and_carries_id_and_sequence_beside_it() -> None:
    network = Network()
    answer = await send(poster(network))
    url, options = network.requests[0]
    headers = options["headers"]

    assert answer.message == ""
    assert url == URL
    assert headers["Content-Type"] == "application/webhook+json"
    assert (headers["Egress-Event-Id"], headers["Egress-Sequence"]) == ("EV_x", "4")
    assert options["allow_redirects"] is False
    claims = api.TokenVerifier("operators", "s" * 32).verify(headers["Authorization"])
    assert claims.sha256
    assert not claims.video or not claims.video.room_join


@pytest.mark.parametrize(
    ("network", "message", "answered"),
    [
        (Network(500), "https://app.example.com answers with HTTP 500", True),
        (Network(302), "https://app.example.com answers with HTTP 302: redirects are not followed", True),
        (Network(error=TimeoutError()), "https://app.example.com cannot be reached (TimeoutError)", False),
        (
            Network(error=aiohttp.ClientError(URL)),
            "https://app.example.com cannot be reached (ClientError)",
            False,
        ),
        (Network(error=ValueError(URL)), "https://app.example.com cannot be reached (ValueError)", False),
    ],
)
async def test_what_goes_wrong_is_a_value_that_holds_nothing_of_the_url(
    network: Network, message: str, answered: bool
) -> None:
    answer = await send(poster(network))

    assert (answer.message, answer.answered) == (message, answered)


async def test_a_key_whose_secret_is_gone_signs_as_it_was_last_known() -> None:
    keys: list[Any] = [
        ("tenants", "t" * 32),
        ConnectionProblem("MissingSecret", "gone"),
        ApiError(403, "x", "y"),
    ]

    async def key_of(_: Recording, __: Receiver) -> tuple[str, str]:
        found = keys.pop(0)
        if isinstance(found, Exception):
            raise found
        return cast("tuple[str, str]", found)

    network = Network()
    made = poster(network, key_of)
    assert [(await send(made)).message for _ in range(3)] == ["", "", ""]
    keys.append(ConnectionProblem("MissingSecret", "Secret keys does not exist"))
    assert (await send(poster(network, key_of))).message == "Secret keys does not exist"
    assert len(network.requests) == 3


class Names:
    """Stands for DNS."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, *_: object) -> list[dict[str, Any]]:
        return [{"hostname": host, "host": address} for address in self.addresses]


@pytest.mark.parametrize(
    ("addresses", "allowed", "found"),
    [
        (("10.0.0.7",), ("*",), ["10.0.0.7"]),
        (("127.0.0.1", "10.0.0.7"), ("*",), ["10.0.0.7"]),
        (("169.254.169.254",), ("*",), None),
        (("::1",), ("*.example.com",), ["::1"]),
    ],
)
async def test_a_name_that_leads_inside_is_not_followed_unless_it_is_allowed_by_name(
    addresses: tuple[str, ...], allowed: tuple[str, ...], found: list[str] | None
) -> None:
    resolver = webhook_post._GuardedResolver(allowed)
    resolver._inner = cast("Any", Names(*addresses))

    if found is None:
        with pytest.raises(OSError, match="leads to an address that is not sent to"):
            await resolver.resolve("app.example.com", 443)
    else:
        assert [one["host"] for one in await resolver.resolve("app.example.com", 443)] == found
