"""Owns the making of botocore's sessions: which certificate authorities every client of one trusts, S3's and STS'."""

from __future__ import annotations

import os

import botocore.session
from botocore.configprovider import BaseProvider, ChainProvider

_AUTHORITIES = "ca_bundle"
"""botocore's name of the setting that `AWS_CA_BUNDLE` and the configuration file's `ca_bundle` are read into."""


class _Environment(BaseProvider):
    """Gives the file that all our other clients take their authorities from."""

    def provide(self) -> str | None:
        # botocore looks at REQUESTS_CA_BUNDLE only where this setting has no value; what names botocore's own file goes first.
        return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or None


def new_session() -> botocore.session.Session:
    """Return a session that trusts `SSL_CERT_FILE`, which botocore does not know, where none of its own settings names a file.

    A setting of the session, not an argument of a client: the clients that the default chain makes by itself (STS for a web
    identity) get it too.
    """
    session = botocore.session.get_session()
    settings = session.get_component("config_store")
    own = settings.get_config_provider(_AUTHORITIES)
    settings.set_config_provider(_AUTHORITIES, ChainProvider([own, _Environment()]))
    return session
