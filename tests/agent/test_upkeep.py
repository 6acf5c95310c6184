"""What the agent says, to whom, and how often; and what it needs to be installed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answering import TensorEndpoint, answering
from tests.serving import free_port
from treeline.agent.ledger import Ledger
from treeline.agent.reports import Reporter
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Placement, Release, State, StateFile
from treeline.agent.upkeep import DAY_SECONDS, mention_silence
from treeline.errors import AgentError, ConfigError

MADE = "2030-01-01T00:00:00+00:00"
NEW_YEAR = 1_893_456_000.0  # MADE, in seconds since 1970
RELEASE = Release(image=f"r.example/a/b@sha256:{'1' * 64}", made=MADE)
HEAVY = ("dvc", "onnxruntime", "pandas", "ruamel", "scipy", "securesystemslib", "sklearn")


class Chat(TensorEndpoint):
    """A webhook that remembers what was posted, and refuses what it is told to."""

    posted: list[Any]
    refuses: set[str]

    def do_POST(self) -> None:
        document = json.loads(self.body())
        refused = document["event"] in self.refuses
        if not refused:
            self.posted.append(document)
        self.reply(500 if refused else 200, b"{}")


@pytest.fixture
def posted() -> list[Any]:
    return []


@pytest.fixture
def refuses() -> set[str]:
    return set()


@pytest.fixture
def settings(tmp_path: Path, posted: list[Any], refuses: set[str]) -> Iterator[AgentSettings]:
    with answering(Chat, posted=posted, refuses=refuses) as url:
        yield AgentSettings(image="r.example/a/b:c", state_dir=tmp_path, webhook=url, name="laptop")


@pytest.fixture
def ledger(settings: AgentSettings) -> Ledger:
    return Ledger(StateFile(settings.state_dir), Reporter(settings))


def test_what_lasts_is_said_once_until_it_is_over(ledger: Ledger, posted: list[Any]) -> None:
    for text in ("broken", "broken", "broken otherwise"):
        ledger.mention("trouble", text)
    ledger.over("trouble")
    ledger.mention("trouble", "broken")
    ledger.deliver()
    said = [each["text"] for each in posted]
    assert said == ["laptop: broken", "laptop: broken otherwise", "laptop: broken"]
    assert ledger.state.outbox == ()


def test_what_the_webhook_does_not_take_waits_in_order(
    ledger: Ledger, posted: list[Any], refuses: set[str], settings: AgentSettings
) -> None:
    for event in ("first", "second", "third"):
        ledger.mention(event, "x")
    refuses.add("second")
    ledger.deliver()
    assert [each["event"] for each in posted] == ["first"]
    refuses.clear()
    Ledger(StateFile(settings.state_dir), Reporter(settings)).deliver()  # after a restart
    assert [each["event"] for each in posted] == ["first", "second", "third"]


def test_a_webhook_that_is_away_loses_nothing(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/"
    settings = AgentSettings(image="r.example/a/b:c", state_dir=tmp_path, webhook=address)
    ledger = Ledger(StateFile(tmp_path), Reporter(settings))
    ledger.mention("trouble", "broken")
    ledger.deliver()
    assert [each.event for each in ledger.state.outbox] == ["trouble"]


SILENCE = {
    "a release of yesterday": (RELEASE, 1, None),
    "a release of two months ago": (RELEASE, 60, "nothing was released since 2030-01-01"),
    "a release of an unknown day": (RELEASE.model_copy(update={"made": ""}), 60, None),
    "a clock that is slow": (RELEASE, -4000, None),
    "nobody can be asked since yesterday": (None, 1, None),
    "nobody can be asked for two months": (None, 60, "nobody could say what is to run"),
}


@pytest.mark.parametrize("case", SILENCE)
def test_silence_is_said_when_it_lasts(ledger: Ledger, settings: AgentSettings, case: str) -> None:
    wanted, days, expected = SILENCE[case]
    ledger.write(reached=NEW_YEAR)
    for _ in range(2):
        mention_silence(ledger, settings, wanted, now=NEW_YEAR + days * DAY_SECONDS)
    texts = [each.text for each in ledger.state.outbox]
    assert len(texts) == (expected is not None)
    assert expected is None or expected in texts[0]


def test_the_end_of_silence_lets_it_be_said_again(ledger: Ledger, settings: AgentSettings) -> None:
    ledger.write(reached=NEW_YEAR)
    for days in (60, 1, 60):
        mention_silence(ledger, settings, RELEASE, now=NEW_YEAR + days * DAY_SECONDS)
    assert [each.event for each in ledger.state.outbox] == ["silent", "silent"]


def test_a_deployment_that_is_recorded_twice_is_one(settings: AgentSettings) -> None:
    reporter = Reporter(settings)
    for failure in ("", "", "it ended", ""):
        reporter.deployment(RELEASE, (), failure=failure)
    records = json.loads((settings.state_dir / "deployments.json").read_text())
    assert [each["outcome"] for each in records] == ["in service", "failed", "in service"]


def test_the_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    live = Placement(slot="green", release=RELEASE)
    state = State(live=live, probation_seconds=12.5, refused={"sha256:1": "why"})
    StateFile(tmp_path).write(state)
    assert StateFile(tmp_path).read() == state


def test_a_state_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(AgentError, match="remove it"):
        StateFile(tmp_path).read()


WRONG = {
    "a key that is none": ('imaeg = "x"', "imaeg"),
    "a host that is none": ('image = "r.example/a:b"\nhost = "lxc"', "host"),
    "no TOML": ("image", "cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_are_named(tmp_path: Path, case: str) -> None:
    text, named = WRONG[case]
    (tmp_path / "agent.toml").write_text(text)
    with pytest.raises(ConfigError, match=named):
        AgentSettings.read(tmp_path / "agent.toml")


def test_an_agent_imports_nothing_of_training(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(
        f'image = "r.example/a/b:c"\nstate_dir = "{tmp_path}"\nhost = "environment"\n'
    )
    program = (
        "import sys; from pathlib import Path; from treeline.agent.assembling import agent_of\n"
        f"agent_of(Path({str(tmp_path / 'agent.toml')!r}))\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
