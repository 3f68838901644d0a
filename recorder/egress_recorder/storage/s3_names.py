"""Owns how an S3 object is addressed: endpoint, path or virtual-hosted style, and the URL a person finds it by. Pure.

LiveKit writes the endpoint verbatim behind the bucket, which gives `https://bucket.https://…` for the usual
endpoint with a scheme (reference: livekit-egress.md §4.1); here the location is the address that requests go to.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, urlsplit

from egress_recorder.contract import S3Destination
from egress_recorder.errors import ConfigurationError

DEFAULT_REGION = "us-east-1"
_DNS_BUCKET = re.compile(r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")
"""Names with dots are left to path style: no certificate covers them as host names."""


def checked_endpoint(endpoint: str, where: str) -> str:
    """Return the endpoint with scheme and without a final slash, "" for none. Raises ConfigurationError."""
    if not endpoint:
        return ""
    url = endpoint if "://" in endpoint else f"https://{endpoint}"
    try:
        split = urlsplit(url)
        valid = split.scheme in {"http", "https"} and bool(split.hostname)
        _ = split.port
    except ValueError:
        valid = False
    if not valid or "@" in url or split.query or split.fragment:
        raise ConfigurationError(
            f"{where}.endpoint is no URL of an S3 server: write it as https://host[:port], without user or query"
        )
    return url.rstrip("/")


def path_style(destination: S3Destination, endpoint: str) -> bool:
    """Return whether the bucket goes into the path: asked for, or because it cannot be a host name."""
    if destination.force_path_style or not _DNS_BUCKET.match(destination.bucket):
        return True
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def object_url(destination: S3Destination, endpoint: str, key: str) -> str:
    """Return the object's address without signature."""
    region = destination.region or DEFAULT_REGION
    # us-east-1 has the global name, as LiveKit writes it; other regions only answer it with a redirect.
    aws = "https://s3.amazonaws.com" if region == DEFAULT_REGION else f"https://s3.{region}.amazonaws.com"
    base = endpoint or (f"{aws}.cn" if region.startswith("cn-") else aws)
    path = quote(key, safe="/-_.~")
    if path_style(destination, endpoint):
        return f"{base}/{destination.bucket}/{path}"
    scheme, _, rest = base.partition("://")
    return f"{scheme}://{destination.bucket}.{rest}/{path}"
