"""A release that is wanted → in service and watched, or the former one back.

Each step is written down before it begins and can be done again, so that a run that is killed, or
loses its power, is made up for by the next one.
"""

import time
from collections.abc import Callable, Sequence

from treeline.agent.front import HaproxyFront
from treeline.agent.hosts import Host
from treeline.agent.ledger import Ledger
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Placement, Release, SlotName, other
from treeline.agent.upkeep import make_room
from treeline.contract.signature import Signature
from treeline.deployment.acceptance import complaints
from treeline.deployment.exchange import exchange
from treeline.errors import AgentError, ArtifactError

START_PAUSE_SECONDS = 0.5
Sleep = Callable[[float], None]


class Rollout:
    """What moves releases in and out of the two slots."""

    def __init__(
        self, settings: AgentSettings, host: Host, front: HaproxyFront, *, sleep: Sleep
    ) -> None:
        self._settings, self._host, self._front, self._sleep = settings, host, front, sleep

    def resume(self, ledger: Ledger, wanted: Release | None) -> None:
        """Take up what a run before this one began; what is not wanted any more is dropped."""
        candidate = ledger.state.candidate
        if ledger.state.leaving:
            self.leave(ledger)
        elif candidate is None:
            return
        elif self._front.slot() == candidate.slot or wanted in (None, candidate.release):
            self._advance(ledger, candidate)
        else:
            self._host.clear(candidate.slot)
            ledger.write(candidate=None)

    def heal(self, ledger: Ledger) -> None:
        """Start what should be in service, and lead the front to it, where that is not so.

        It comes first, and needs no network. What is under way is taken up instead.
        """
        live = ledger.state.live
        if live is None or ledger.state.candidate is not None or ledger.state.leaving:
            return
        if not self._host.runs(live):
            ledger.reporter.log(f"starting {live.release.image}, which should run")
            self._start(live)
        if not self._front.leads_to(live):
            self._front.lead_to(live)

    def bring(self, ledger: Ledger, wanted: Release, *, now: float) -> None:
        """Put a release in service, or refuse it and leave what is there.

        The slot is the one that nothing is led to, whatever the state says.
        """
        taken = ledger.state.live.slot if ledger.state.live else self._front.slot()
        candidate = Placement(slot=other(taken), release=wanted)
        ledger.write(candidate=candidate, images={**ledger.state.images, wanted.image: now})
        self._advance(ledger, candidate)

    def watch(self, ledger: Ledger) -> None:
        """Look at what is on probation until it has passed, or has to go."""
        live, patience = ledger.state.live, self._settings.patience
        if live is None or ledger.state.probation_seconds is None:
            return
        ledger.reporter.log(f"on probation for {ledger.state.probation_seconds:g} seconds")
        signatures, begun = self._host.signatures(live), self._host.restarts(live.slot)
        failures = 0
        while (left := ledger.state.probation_seconds or 0.0) > 0:
            faults = _faults(self._front.url, signatures)
            failures = failures + 1 if faults else 0
            again = self._host.restarts(live.slot) > begun
            if again or failures >= patience.failures:
                reason = "it ended and was started again" if again else "; ".join(faults)
                self._fail(ledger, live, self._with_log(live, f"on probation: {reason}"))
                return
            self._sleep(min(patience.look, left))
            ledger.write(probation_seconds=max(left - patience.look, 0.0))
        self._host.stop(other(live.slot))
        ledger.write(probation_seconds=None)
        ledger.reporter.log("passed its probation; the former release is stopped, and kept")

    def leave(self, ledger: Ledger) -> None:
        """Put the former release back in service, and refuse the present one."""
        live, former, reason = ledger.state.live, ledger.state.former, ledger.state.leaving
        if live is None or former is None:
            ledger.write(leaving="")
            return
        ledger.reporter.log(f"going back to {former.release.image}")
        self._start(former)
        if fault := self._fault_at_start(former):
            raise AgentError(
                f"{live.release.image} should go ({reason}), and {former.release.image}, which was "
                f"there before, does not serve: {fault}"
            )
        self._front.lead_to(former)
        ledger.reporter.log("moved back")
        reports = (
            ledger.reporter.deployment(live.release, (), failure=reason),
            ledger.reporter.deployment(former.release, self._host.signatures(former)),
        )
        self._host.clear(live.slot)
        ledger.write(
            live=former,
            former=None,
            leaving="",
            probation_seconds=None,
            refused={**ledger.state.refused, live.release.digest: reason},
            outbox=(*ledger.state.outbox, *reports),
        )

    def _advance(self, ledger: Ledger, candidate: Placement) -> None:
        """Take a candidate from wherever it is into service, or refuse it."""
        log, image = ledger.reporter.log, candidate.release.image
        log(f"pulling {image}")
        try:
            self._host.fetch(candidate.release)
        except AgentError:
            if not make_room(ledger, self._host):
                raise
            self._host.fetch(candidate.release)
        log(f"starting it as {candidate.slot}")
        self._host.start(candidate)
        log("asking it for its examples")
        if reason := self._fault_at_start(candidate):
            self._refuse(ledger, candidate, reason)
            return
        log(f"moving the port to {candidate.slot}")
        self._front.lead_to(candidate)
        log("moved")
        report = ledger.reporter.deployment(candidate.release, self._host.signatures(candidate))
        ledger.write(
            live=candidate,
            former=ledger.state.live or ledger.state.former,
            candidate=None,
            probation_seconds=self._settings.patience.probation,
            outbox=(*ledger.state.outbox, report),
        )

    def _fault_at_start(self, placement: Placement) -> str:
        """Wait until a release that was started answers as it should; say why, if it does not."""
        ready, url = self._settings.patience.ready, self._url(placement.slot)
        deadline = time.monotonic() + ready
        begun = self._host.restarts(placement.slot)
        try:
            signatures = self._host.signatures(placement)
        except ArtifactError as error:
            return str(error)
        if not signatures:
            return "it holds no model"
        while faults := _faults(url, signatures):
            if not self._host.runs(placement) or self._host.restarts(placement.slot) > begun:
                return self._with_log(placement, "it ended")
            if time.monotonic() > deadline:
                why = f"after {ready:g} seconds: {'; '.join(faults)}"
                return self._with_log(placement, why)
            self._sleep(START_PAUSE_SECONDS)
        return ""

    def _refuse(self, ledger: Ledger, candidate: Placement, reason: str) -> None:
        """Take a candidate away that was never in service; what is in service stays."""
        report = ledger.reporter.deployment(candidate.release, (), failure=reason)
        self._host.clear(candidate.slot)
        ledger.write(
            candidate=None,
            refused={**ledger.state.refused, candidate.release.digest: reason},
            outbox=(*ledger.state.outbox, report),
        )

    def _fail(self, ledger: Ledger, live: Placement, reason: str) -> None:
        if ledger.state.former is None:
            ledger.write(probation_seconds=None)
            ledger.mention("failed", f"{live.release.image}: {reason}; nothing ran here before it")
            return
        ledger.write(leaving=reason)
        self.leave(ledger)

    def _start(self, placement: Placement) -> None:
        """Start what ran here before, and fetch it again where somebody has removed it."""
        try:
            self._host.start(placement)
        except AgentError:
            self._host.fetch(placement.release)
            self._host.start(placement)

    def _with_log(self, placement: Placement, reason: str) -> str:
        return f"{reason}\nThe end of its log:\n{self._host.last_words(placement.slot) or 'none'}"

    def _url(self, slot: SlotName) -> str:
        return f"http://127.0.0.1:{self._settings.port_of(slot)}"


def _faults(url: str, signatures: Sequence[Signature]) -> list[str]:
    """Return how a service differs from signatures; models that a person took out do not count."""
    unloaded = exchange("GET", f"{url}/readyz").member("unloaded") or []
    checked = [signature for signature in signatures if signature.name not in unloaded]
    return complaints(url, checked, others=True)
