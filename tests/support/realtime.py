"""Owns the marks of tests in which media runs in real time."""

from __future__ import annotations

import pytest

REALTIME = pytest.mark.realtime
"""Publisher, server and recorder need both cores: such a test has the machine to itself (`make test` runs the others two
at a time)."""

MEASURES = pytest.mark.flaky(reruns=1)
"""Decoded media is measured against the clock. Repeated once, and counted as `rerun` in pytest's summary: one stall of the
machine, which also judges, is in the file and says nothing of the recorder. What is broken fails twice. Whatever does not
depend on the machine's clock (states, names, faults) has no such mark."""
