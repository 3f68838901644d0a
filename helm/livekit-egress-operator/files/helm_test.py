"""Owns `helm test`: asks the operator for its health and the API server for both kinds, for at most a minute."""
# ruff: noqa: INP001 - a script that the chart gives to the test pod

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc/apis/egress.livekit.io/v1alpha1"
KINDS = {"ParticipantEgress", "TrackCompositeEgress"}
SECONDS = 60


def get(url: str, headers: dict[str, str], context: ssl.SSLContext | None = None) -> bytes:
    """Return the body; no proxy of the environment stands between pods of one cluster. Raises OSError."""
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - both are http URLs of the chart's
    with urllib.request.build_opener(*handlers).open(request, timeout=5) as answer:
        body: bytes = answer.read()
    return body


def problem(health_url: str) -> str:
    """Return what is wrong, "" when nothing is."""
    try:
        get(health_url, {})
    except OSError as error:
        return f"the operator does not answer at {health_url}: {error}"
    token = (ACCOUNT / "token").read_text()
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        served = json.loads(get(API, {"Authorization": f"Bearer {token}"}, context))
    except OSError as error:
        return f"the API server does not serve egress.livekit.io/v1alpha1 ({error}): are the CRDs installed?"
    missing = KINDS - {resource["kind"] for resource in served["resources"]}
    return f"the API server does not serve {', '.join(sorted(missing))}" if missing else ""


def main() -> None:
    """Exit with 0 and one line when all is well, else with the last problem."""
    end = time.monotonic() + SECONDS
    while trouble := problem(sys.argv[1]):
        if time.monotonic() > end:
            sys.exit(trouble)
        time.sleep(1)
    sys.stdout.write("the operator is healthy and both kinds are served\n")


if __name__ == "__main__":
    main()
