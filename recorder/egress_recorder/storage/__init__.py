"""Owns which storages exist: the registry from a destination's kind to its implementation, one line each.

An implementation is imported only when a destination of its kind is opened: its SDK costs memory and start-up
time that a recorder without it must not pay. `base` says what an implementation promises; the conformance suite
(tests/integration/test_storage_conformance.py) runs against every one that is registered here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import cast

from egress_recorder.contract import Destination
from egress_recorder.storage.base import (
    FileSlice,
    GrowingStorage,
    ObjectExistsError,
    ObjectStore,
    PartRecord,
    PresigningStorage,
    Storage,
    StorageContext,
    Upload,
    UploadLostError,
    WholeStorage,
)

__all__ = [
    "REGISTRY",
    "FileSlice",
    "GrowingStorage",
    "ObjectExistsError",
    "ObjectStore",
    "PartRecord",
    "PresigningStorage",
    "Storage",
    "StorageContext",
    "Upload",
    "UploadLostError",
    "WholeStorage",
    "open_storage",
]

REGISTRY: Mapping[str, str] = {
    "s3": "egress_recorder.storage.s3:S3Storage",
    "gcp": "egress_recorder.storage.gcs:GcsStorage",
    "aliOSS": "egress_recorder.storage.alioss:AliOssStorage",
    "azure": "egress_recorder.storage.azure:AzureStorage",
    "http": "egress_recorder.storage.http_put:HttpStorage",
    "pvc": "egress_recorder.storage.volume:VolumeStorage",
}
"""Destination kind → `module:class`; the class is called with the destination and a `StorageContext`."""


def open_storage(destination: Destination, context: StorageContext) -> Storage | WholeStorage:
    """Return the storage of a destination without talking to it: faults of the place appear at the first call.

    Raises ConfigurationError where the destination's own values cannot be right.
    """
    module, _, name = REGISTRY[destination.kind].partition(":")
    factory = cast(
        "Callable[[Destination, StorageContext], Storage | WholeStorage]",
        getattr(importlib.import_module(module), name),
    )
    return factory(destination, context)
