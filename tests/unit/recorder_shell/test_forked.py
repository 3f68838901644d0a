"""Work in a forked process answers, fails and dies without an effect on the one that asked."""

import os
import sys

import pytest

from egress_recorder.forked import in_forked_process

pytestmark = pytest.mark.unit


def test_the_answer_of_the_child_is_returned_and_its_imports_are_not() -> None:
    def work() -> str:
        sys.modules["only_in_the_child"] = sys
        return f"child {os.getpid() != parent}"

    parent = os.getpid()

    assert in_forked_process(work) == "child True"
    assert "only_in_the_child" not in sys.modules


def test_what_the_child_raises_is_raised_here_with_its_words() -> None:
    def work() -> str:
        raise RuntimeError("api_key and api_secret must be set")

    with pytest.raises(ValueError, match="api_key and api_secret must be set"):
        in_forked_process(work)


def test_a_child_that_dies_is_an_error_and_not_an_empty_answer() -> None:
    with pytest.raises(ValueError, match="without an answer"):
        in_forked_process(lambda: os._exit(3))
