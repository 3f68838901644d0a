"""Owns the mark of tests that measure decoded media against the clock while everything shares two cores."""

from __future__ import annotations

import pytest

MEASURES = pytest.mark.flaky(reruns=1)
"""Repeated once, and counted as `rerun` in pytest's summary. Publisher, server and recorder of such a test run in real
time on the machine that also judges them: one stall of that machine is in the file and says nothing of the recorder. What
is broken fails twice. Whatever does not depend on the machine's clock (states, names, faults) has no such mark."""
