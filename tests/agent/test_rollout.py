"""What the agent does when several things go wrong at once: something good is always served."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.machines import RELEASES, Machine, PowerCut, Service, machine
from tests.serving import free_port
from treeline.agent.front import HaproxyFront
from treeline.deployment import acceptance
from treeline.errors import AgentError

Manner = Callable[[Service], tuple[int, dict[str, Any]] | None]


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which the first release is in service."""
    with machine(tmp_path) as made:
        made.follow("first")
        yield made


def never(service: Service) -> tuple[int, dict[str, Any]]:
    """Answer as a service that is never ready."""
    return 503, {"detail": "not ready"}


def tires(service: Service) -> tuple[int, dict[str, Any]] | None:
    """Answer wrongly as soon as the front leads here."""
    return (500, {}) if "X-Forwarded-For" in service.headers else None


def refused(machine: Machine) -> set[str]:
    """Return the names of the refused releases, and `settings` where settings are."""
    names = {each.digest: name for name, each in RELEASES.items()}
    return {names.get(key, key.partition(" ")[0]) for key in machine.state.refused}


def test_a_boot_starts_what_was_in_service_though_a_newer_one_cannot_be_had(
    laptop: Machine,
) -> None:
    laptop.host.network = False
    with pytest.raises(AgentError, match="no network"):
        laptop.follow("second")
    laptop.boot()
    assert laptop.served() == ""
    pulls = laptop.host.pulls
    with pytest.raises(AgentError, match="no network"):
        laptop.follow("second")
    assert laptop.host.pulls == pulls + 1, "once in a run"
    assert laptop.served() == "first"
    laptop.host.network = True
    laptop.follow(None)
    assert laptop.served() == "second", "what was begun is taken up"


def test_a_newer_one_that_is_gone_after_a_power_cut_gives_way_to_what_was_in_service(
    laptop: Machine,
) -> None:
    laptop.cut = "moved"
    with pytest.raises(PowerCut):
        laptop.follow("second")
    laptop.cut = ""
    laptop.boot()
    laptop.host.fetched.discard(RELEASES["second"].digest)
    laptop.host.network = False
    for _ in range(2):
        with pytest.raises(AgentError, match="no network"):
            laptop.follow(None)
        assert laptop.served() == "first"


def test_a_newer_one_that_fails_after_a_power_cut_leaves_nobody_without_service(
    laptop: Machine,
) -> None:
    laptop.cut = "moved"
    with pytest.raises(PowerCut):
        laptop.follow("second")
    laptop.cut = ""
    laptop.boot()
    laptop.host.manners["second"] = never
    laptop.follow("second")
    assert laptop.served() == "first"
    assert refused(laptop) == {"second"}
    assert laptop.state.candidate is None


def failing(laptop: Machine) -> None:
    """Have the second release fail on probation, with the first one broken by then."""
    laptop.host.manners |= {"second": tires}
    laptop.cut = "on probation"
    with pytest.raises(PowerCut):
        laptop.follow("second")
    laptop.cut = ""
    laptop.boot()


def test_a_release_stays_whose_former_does_not_serve_and_a_newer_one_comes(
    laptop: Machine,
) -> None:
    laptop.host.manners["first"] = never
    failing(laptop)
    with pytest.raises(AgentError, match="stays"):
        laptop.follow("second")
    assert laptop.state.live is not None and laptop.state.live.release == RELEASES["second"]
    assert (laptop.state.leaving, laptop.state.probation_seconds) == ("", None)
    assert list(laptop.host.servers) == [laptop.state.live.slot]
    laptop.follow("second")
    assert "trouble" not in laptop.state.said, "it is said once"
    with pytest.raises(AgentError, match="stays"):
        laptop.agent.go_back("by hand")
    laptop.follow("third")
    assert laptop.served() == "third"


def test_a_newer_one_comes_though_the_former_cannot_be_started(laptop: Machine) -> None:
    failing(laptop)
    laptop.host.fetched -= {RELEASES["first"].digest}
    laptop.host.network = False
    with pytest.raises(AgentError, match="no network"):
        laptop.follow("second")
    assert laptop.state.leaving
    laptop.boot()
    laptop.host.fetched |= {RELEASES["third"].digest}
    laptop.follow("third")
    assert laptop.served() == "third"
    assert laptop.state.leaving == ""
    assert refused(laptop) == {"second"}


def test_the_former_comes_back_as_soon_as_it_can_be_had(laptop: Machine) -> None:
    failing(laptop)
    laptop.host.fetched -= {RELEASES["first"].digest}
    laptop.host.network = False
    with pytest.raises(AgentError, match="no network"):
        laptop.follow("second")
    laptop.host.network = True
    laptop.follow("second")
    assert laptop.served() == "first"
    assert refused(laptop) == {"second"}


def answers(status: int, **document: str) -> Manner:
    """Answer predictions so, whoever asks."""
    return lambda service: (status, dict(document)) if service.command == "POST" else None


UNASKED = {
    "without a key": (answers(401), "key_file"),
    "without the scope": (answers(403), "key_file"),
    "by another name": (answers(400, type="urn:problem:unknown-host"), "host_header"),
    "too often": (answers(429), "API_REQUESTS_PER_SECOND"),
}


@pytest.mark.parametrize("case", UNASKED)
def test_a_release_that_may_not_be_asked_is_not_refused(
    laptop: Machine, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "PAUSE_SECONDS", 0.01)
    manner, named = UNASKED[case]
    laptop.host.manners["second"] = manner
    with pytest.raises(AgentError, match=named):
        laptop.follow("second")
    assert laptop.served() == "first"
    assert refused(laptop) == set()
    laptop.host.manners.clear()
    laptop.boot()
    laptop.follow("second")
    assert laptop.served() == "second"


def strict() -> Manner:
    """Answer who names the host and gives the key, and each of them only every other time."""
    asked = []

    def manner(service: Service) -> tuple[int, dict[str, Any]] | None:
        if service.command == "GET":
            return None
        if (service.headers["Host"], service.headers["X-API-Key"]) != ("tree.example", "secret"):
            return 401, {}
        asked.append(service.path)
        return (429, {}) if len(asked) % 2 else None

    return manner


def test_the_agent_shows_its_key_names_the_host_and_takes_its_time(
    laptop: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "PAUSE_SECONDS", 0.01)
    (tmp_path / "key").write_text("secret\n")
    laptop.host.manners["second"] = strict()
    laptop.change(key_file=tmp_path / "key", host_header="tree.example")
    laptop.follow("second")
    assert laptop.served() == "second"


def registered(service: Service) -> tuple[int, dict[str, Any]] | None:
    """Answer as a service whose model comes from a registry."""
    if service.command == "POST":
        return 200, {"version": "7", "probability": 0.5}
    if service.path == "/readyz":
        return 200, {"models": {service.signature.name: "7"}, "release": service.release}
    return 200, {"origin": "registry"}


def left_out(service: Service) -> tuple[int, dict[str, Any]]:
    """Answer as a service that leaves its model out."""
    if service.command == "POST":
        return 404, {}
    return 200, {"models": {}, "release": service.release}


def defaulted(service: Service) -> tuple[int, dict[str, Any]] | None:
    """Answer as a service with another default model."""
    return (200, {"version": "7"}) if service.path == "/v1/predict" else None


SET = {
    "API_LEAVE_OUT=iris,tree-survival": left_out,
    "API_REGISTRY=@champion": registered,
    "API_DEFAULT_MODEL=iris": defaulted,
}


@pytest.mark.parametrize("line", SET)
def test_what_an_operator_has_set_is_no_fault_of_a_release(
    laptop: Machine, tmp_path: Path, line: str
) -> None:
    (tmp_path / "service.env").write_text(f"# set by hand\n{line}\n")
    laptop.host.manners["second"] = SET[line]
    laptop.follow("second")
    assert laptop.served() == "second"


def test_a_model_that_nobody_left_out_is_missed(laptop: Machine) -> None:
    laptop.host.manners["second"] = left_out
    laptop.follow("second")
    assert laptop.served() == "first"
    assert refused(laptop) == {"second"}


def test_settings_that_change_are_taken_up_in_the_other_slot(
    laptop: Machine, tmp_path: Path
) -> None:
    assert laptop.state.live is not None
    before = laptop.state.live.slot
    (tmp_path / "service.env").write_text("API_KEYS=somebody\n")
    laptop.follow("first")
    assert laptop.served() == "first"
    assert laptop.state.live.slot != before
    assert laptop.host.is_current(laptop.state.live)
    slot = laptop.state.live.slot
    laptop.follow("first")
    assert laptop.state.live.slot == slot, "there is nothing left to do"
    with pytest.raises(AgentError, match="only its settings"):
        laptop.agent.go_back("by hand")


@pytest.mark.parametrize("manner", [None, never, tires])
def test_the_former_release_is_kept_while_settings_change(
    laptop: Machine, tmp_path: Path, manner: Manner | None
) -> None:
    laptop.follow("second")
    (tmp_path / "service.env").write_text("API_KEYS=somebody\n")
    if manner is not None:
        laptop.host.manners["second"] = manner
    laptop.follow("second")
    assert (laptop.served(), laptop.state.earlier) == ("second", None)
    laptop.agent.go_back("by hand")
    assert laptop.served() == "first"
    assert "second" in refused(laptop)


@pytest.mark.parametrize("manner", [never, tires])
def test_settings_by_which_a_release_does_not_serve_are_refused_and_not_the_release(
    laptop: Machine, tmp_path: Path, manner: Manner
) -> None:
    state = laptop.state
    (tmp_path / "service.env").write_text("API_KEYS=wrong\n")
    laptop.host.manners["first"] = manner
    laptop.follow("first")
    assert laptop.served() == "first"
    assert laptop.state.live == state.live
    assert refused(laptop) == {"settings"}
    laptop.follow("first")
    assert laptop.state.live == state.live, "it is not tried again"
    del laptop.host.manners["first"]
    (tmp_path / "service.env").write_text("API_KEYS=right\n")
    laptop.follow("first")
    assert laptop.state.live is not None
    assert laptop.host.is_current(laptop.state.live)


def test_a_release_that_is_newer_than_the_agent_is_not_refused(laptop: Machine) -> None:
    laptop.host.unreadable.add("second")
    for _ in range(2):
        with pytest.raises(AgentError, match="bring the agent up to date"):
            laptop.follow("second")
        assert laptop.served() == "first"
        assert refused(laptop) == set()
    laptop.host.unreadable.clear()
    laptop.follow("second")
    assert laptop.served() == "second"


def test_a_front_that_is_elsewhere_is_no_fault_of_a_release(laptop: Machine) -> None:
    front, served = laptop.settings.front, laptop.state.live
    wrong = front.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"})
    laptop.change(front=wrong)
    with pytest.raises(AgentError, match=r"\[front\] url"):
        laptop.follow("second")
    assert laptop.state.live == served
    assert refused(laptop) == set()
    laptop.change(front=front)
    laptop.follow("second")
    assert laptop.served() == "second"


def test_the_first_release_waits_on_probation_until_the_front_is_found(tmp_path: Path) -> None:
    with machine(tmp_path) as made:
        front = made.settings.front
        made.change(front=front.model_copy(update={"url": f"http://127.0.0.1:{free_port()}"}))
        with pytest.raises(AgentError, match=r"\[front\] url"):
            made.follow("first")
        made.change(front=front)
        made.follow("first")
        assert made.served() == "first"
        assert made.state.probation_seconds is None


def test_a_front_whose_file_is_right_writes_nothing(laptop: Machine) -> None:
    live, file = laptop.state.live, laptop.settings.front.file
    assert live is not None
    before = file.stat().st_ino  # a file that is replaced is another one
    HaproxyFront(laptop.settings).lead_to(live)
    assert file.stat().st_ino == before


def test_a_disk_that_takes_nothing_is_said(laptop: Machine) -> None:
    records = laptop.settings.state_dir / "deployments.json"
    records.unlink()
    records.mkdir()
    with pytest.raises(AgentError, match="cannot be written"):
        laptop.follow("second")
    records.rmdir()
    laptop.follow("second")
    assert laptop.served() == "second"
