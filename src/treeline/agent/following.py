"""One run of the agent: who says what is to run is asked, and what is due is done."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from treeline.errors import AgentError, RegistryAwayError

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
            live, former = ledger.state.live, ledger.state.former
            if live is None or former is None:
                raise AgentError("nothing ran here before, so there is nothing to go back to")
            if former.release.digest == live.release.digest:
                raise AgentError(
                    "only its settings were others before, so there is nothing to go back to: "
                    "change `environment_file` or `options`, and the next run takes that up"
                )
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
        troubles: list[AgentError] = []
        wanted: Release | None = None
        with _noted(troubles):
            self.rollout.heal(ledger)
        with _noted(troubles):
            wanted = self._wanted(ledger)
        with _noted(troubles):
            self.rollout.resume(ledger, wanted)
        with _noted(troubles):
            self.rollout.watch(ledger)
        with _noted(troubles):
            if wanted is not None and _is_new(ledger, wanted):
                self._bring(ledger, wanted)
                if _is_live(ledger, wanted):
                    troubles.clear()  # what could not be started is in service no more
        with _noted(troubles):
            self.rollout.renew(ledger, now=self.now())
        with _noted(troubles):
            self.rollout.watch(ledger)
        with _noted(troubles):
            prune(ledger, self.host, self.settings.keep, now=self.now())
        if troubles:
            raise troubles[-1]
        mention_silence(ledger, self.settings, wanted, now=self.now())

    def _bring(self, ledger: Ledger, wanted: Release) -> None:
        self.check(wanted)
        self.rollout.bring(ledger, wanted, now=self.now())

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


@contextmanager
def _noted(troubles: list[AgentError]) -> Iterator[None]:
    """Go on after an error, and note it."""
    try:
        yield
    except AgentError as error:
        troubles.append(error)


def _is_live(ledger: Ledger, release: Release) -> bool:
    live = ledger.state.live
    return live is not None and live.release.digest == release.digest


def _is_new(ledger: Ledger, wanted: Release) -> bool:
    """Tell whether a release is to be put in service; one that this run has tried is not."""
    candidate = ledger.state.candidate
    tried = candidate is not None and candidate.release.digest == wanted.digest
    return not (tried or _is_live(ledger, wanted) or wanted.digest in ledger.state.refused)
