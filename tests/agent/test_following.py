"""The real agent on a real engine and registry: what is released is served, whatever happens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.homes import Home, Images, home
from tests.container.callers import steady_callers


@pytest.fixture
def laptop(tmp_path: Path, shared_images: Images) -> Iterator[Home]:
    """A machine on which the first image is in service."""
    with home(tmp_path / "laptop", shared_images) as machine:
        shared_images.tag("first")
        machine.agent("run")
        yield machine


def test_a_release_takes_over_and_no_caller_notices(laptop: Home, shared_images: Images) -> None:
    assert laptop.served() == "first"
    shared_images.tag("second")
    with steady_callers(laptop.url) as callers:
        text = laptop.agent("run")
    assert f"in service: {shared_images.name('second')}" in text
    assert callers.answered > 20
    assert callers.lost == []
    assert laptop.served() == "second"
    assert laptop.containers() == {"blue": "exited", "green": "running"}
    assert laptop.records() == [("first", "in service"), ("second", "in service")]


# Each line that the agent prints before a step, and what is wanted when it is killed there.
KILLED = {
    "pulling": "second",
    "starting it": "second",
    "asking it": "second",
    "moving the port": "second",
    "moved": "second",
    "on probation": "second",
    "going back": "tires",
    "moved back": "tires",
}


@pytest.mark.parametrize("line", KILLED)
def test_a_run_that_is_killed_is_made_up_for_by_the_next(
    laptop: Home, shared_images: Images, line: str
) -> None:
    shared_images.tag(KILLED[line])
    with steady_callers(laptop.url) as callers:
        laptop.killed_at(line)
        laptop.agent("run")
    expected = "first" if KILLED[line] == "tires" else "second"
    assert laptop.served() == expected
    assert callers.lost == []
    assert sorted(laptop.containers().values()) in (["exited", "running"], ["running"])
    state = laptop.state
    assert (state.candidate, state.probation_seconds, state.leaving) == (None, None, "")
    assert laptop.agent("run").startswith("in service"), "there is nothing left to do"
