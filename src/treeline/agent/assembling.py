"""Settings → an agent with its parts, and what it knows in words."""

import time
from pathlib import Path

from treeline.agent.channels import channel_of
from treeline.agent.following import Agent
from treeline.agent.front import HaproxyFront
from treeline.agent.hosts import host_of
from treeline.agent.reports import Reporter
from treeline.agent.rollout import Rollout
from treeline.agent.settings import AgentSettings
from treeline.agent.state import StateFile
from treeline.agent.trust import check_of


def agent_of(path: Path) -> Agent:
    """Return the agent of a file of settings; raises ConfigError and ReleaseRefusedError."""
    settings = AgentSettings.read(path)
    host = host_of(settings)
    return Agent(
        settings=settings,
        channel=channel_of(settings),
        check=check_of(settings),
        host=host,
        rollout=Rollout(settings, host, HaproxyFront(settings), sleep=time.sleep),
        reporter=Reporter(settings),
    )


def status_of(path: Path) -> str:
    """Say what is in service, what was before and what was refused; changes nothing."""
    settings = AgentSettings.read(path)
    state = StateFile(settings.state_dir).read()
    places = (("in service", state.live), ("former", state.former), ("candidate", state.candidate))
    lines = [
        f"{title}: {each.release.image} as {each.slot}, made {each.release.made or 'some time'}"
        for title, each in places
        if each is not None
    ] or ["nothing is in service yet"]
    if state.probation_seconds is not None:
        lines.append(f"on probation for {state.probation_seconds:g} more seconds")
    lines += [f"refused: {digest}: {_first(reason)}" for digest, reason in state.refused.items()]
    lines += [f"{event}: {_first(text)}" for event, text in state.said.items()]
    if state.outbox:
        lines.append(f"{len(state.outbox)} reports wait for the webhook")
    if settings.trusted_signers is None:
        lines.append("trusted_signers: none, so the registry alone says what runs")
    return "\n".join(lines)


def _first(text: str) -> str:
    return text.splitlines()[0] if text else ""
