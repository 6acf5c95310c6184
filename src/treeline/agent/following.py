"""One run of the agent: who says what is to run is asked, and what is due is done."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from treeline.agent.channels import Channel
from treeline.agent.hosts import Host
from treeline.agent.ledger import Ledger
from treeline.agent.reports import Reporter
from treeline.agent.rollout import Rollout
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Release, StateFile
from treeline.agent.trust import Check
from treeline.agent.upkeep import mention_silence, prune
from treeline.errors import AgentError, RegistryAwayError, ReleaseRefusedError

NOTED_SECONDS = 3_600.0  # so often, at most, it is written down that the registry answered
BUSY = "another run of the agent is under way"


@dataclass(frozen=True)
class Agent:
    """Brings what is wanted in service, one run at a time."""

    settings: AgentSettings
    channel: Channel
    check: Check
    host: Host
    rollout: Rollout
    reporter: Reporter
    now: Callable[[], float] = time.time

    def run(self) -> str:
        """Do what is due, and say what is in service; raises AgentError where something failed.

        What failed is reported once, and tried again by the next run.
        """
        file = StateFile(self.settings.state_dir)
        with file.locked() as alone:
            if not alone:
                return f"{BUSY}: nothing to do"
            return self._reported(Ledger(file, self.reporter), self._follow)

    def go_back(self, reason: str) -> str:
        """Put the former release back in service, for good: the present one is refused."""
        file = StateFile(self.settings.state_dir)
        with file.locked() as alone:
            if not alone:
                raise AgentError(f"{BUSY}: try again when it has ended")
            ledger = Ledger(file, self.reporter)
            if ledger.state.live is None or ledger.state.former is None:
                raise AgentError("nothing ran here before, so there is nothing to go back to")
            ledger.write(leaving=reason, candidate=None)
            return self._reported(ledger, self.rollout.leave)

    def retry(self) -> str:
        """Forget what was refused, so that a run tries it again when it is wanted."""
        file = StateFile(self.settings.state_dir)
        with file.locked() as alone:
            if not alone:
                raise AgentError(f"{BUSY}: try again when it has ended")
            ledger = Ledger(file, self.reporter)
            count = len(ledger.state.refused)
            ledger.write(refused={}, said={})
        return f"{count} refused releases are tried again when they are wanted"

    def _reported(self, ledger: Ledger, work: Callable[[Ledger], None]) -> str:
        try:
            work(ledger)
            ledger.over("trouble")
        except AgentError as error:
            ledger.mention("trouble", str(error))
            raise
        finally:
            ledger.deliver()
        live = ledger.state.live
        return "nothing is in service yet" if live is None else f"in service: {live.release.image}"

    def _follow(self, ledger: Ledger) -> None:
        """Do what is due; what fails of one release keeps nobody from looking after the others."""
        trouble: AgentError | None = None
        wanted: Release | None = None
        try:
            self.rollout.heal(ledger)
        except AgentError as error:
            trouble = error
        try:
            wanted = self._wanted(ledger)
        except ReleaseRefusedError as error:
            trouble = error
        self.rollout.resume(ledger, wanted)
        self.rollout.watch(ledger)
        if wanted is not None and _is_new(ledger, wanted):
            try:
                self.check(wanted)
                self.rollout.bring(ledger, wanted, now=self.now())
                trouble = None  # what could not be started is in service no more
            except (ReleaseRefusedError, RegistryAwayError) as error:
                trouble = error
        self.rollout.watch(ledger)
        prune(ledger, self.host, self.settings.keep, now=self.now())
        if trouble is not None:
            raise trouble
        mention_silence(ledger, self.settings, wanted, now=self.now())

    def _wanted(self, ledger: Ledger) -> Release | None:
        """Return what is to run; None where nothing is, or nobody can be asked."""
        try:
            live = ledger.state.live
            wanted = self.channel.wanted(live.release if live else None)
        except RegistryAwayError as error:
            ledger.reporter.log(f"what is in service stays: {error}")
            return None
        if abs(self.now() - ledger.state.reached) > NOTED_SECONDS:
            ledger.write(reached=self.now())
        return wanted


def _is_new(ledger: Ledger, wanted: Release) -> bool:
    live = ledger.state.live
    if live is not None and live.release.digest == wanted.digest:
        return False
    return wanted.digest not in ledger.state.refused
