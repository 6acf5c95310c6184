"""A release that is wanted → in service and watched, or the former one back.

Each step is written down before it begins and can be done again, so that a run that is killed, or
loses its power, is made up for by the next one.
"""

import time
from collections.abc import Callable, Sequence

from treeline.agent.examples import Examples, answers
from treeline.agent.front import HaproxyFront
from treeline.agent.hosts import Host
from treeline.agent.ledger import Ledger
from treeline.agent.service import ServiceSettings
from treeline.agent.settings import AgentSettings
from treeline.agent.state import Placement, Release, SlotName, other
from treeline.agent.upkeep import make_room
from treeline.contract.signature import Signature
from treeline.errors import AgentError, ArtifactError

START_PAUSE_SECONDS = 0.2
Sleep = Callable[[float], None]


class Rollout:
    """What moves releases in and out of the two slots."""

    def __init__(
        self, settings: AgentSettings, host: Host, front: HaproxyFront, *, sleep: Sleep
    ) -> None:
        self._settings, self._host, self._front, self._sleep = settings, host, front, sleep
        self._examples = Examples(settings)

    def resume(self, ledger: Ledger, wanted: Release | None) -> None:
        """Take up what a run before this one began; what is not wanted any more is dropped.

        Where it cannot be taken up and the front leads to it already, the front is led back.
        """
        candidate, live = ledger.state.candidate, ledger.state.live
        if ledger.state.leaving:
            self.leave(ledger)
        elif candidate is None:
            return
        elif self._front.slot() == candidate.slot or wanted in (None, candidate.release):
            try:
                self._advance(ledger, candidate)
            except AgentError:
                moved = live is not None and self._front.slot() == candidate.slot
                if live is not None and moved and not self._host.runs(candidate):
                    self._restore(ledger, live)
                raise
        else:
            self._host.clear(candidate.slot)
            ledger.write(candidate=None)

    def heal(self, ledger: Ledger) -> None:
        """Start what should be in service, and lead the front to it, where that is not so.

        It comes first, and needs no network. Where the front leads already to what is to come, or
        to what is to be again, that is taken up instead.
        """
        live, next_one = ledger.state.live, ledger.state.candidate
        if ledger.state.leaving:
            next_one = ledger.state.former
        if live is None or (next_one is not None and self._front.slot() == next_one.slot):
            return
        self._restore(ledger, live)

    def renew(self, ledger: Ledger, *, now: float) -> None:
        """Start what is in service anew where its settings have changed, as if it were released.

        It starts in the other slot and is watched, so that settings by which it does not serve
        change nothing. Such settings are refused, and not the release.
        """
        state, live = ledger.state, ledger.state.live
        busy = state.candidate or state.leaving or state.probation_seconds is not None
        if live is None or busy or self._settings_key() in state.refused:
            return
        if self._host.runs(live) and not self._host.is_current(live):
            ledger.reporter.log("the settings of the service have changed: starting it anew")
            self.bring(ledger, live.release, now=now)

    def bring(self, ledger: Ledger, wanted: Release, *, now: float) -> None:
        """Put a release in service, or refuse it and leave what is there.

        The slot is the one that nothing is led to, whatever the state says. What should have gone,
        and did not as its former cannot be started, makes way now.
        """
        live, leaving = ledger.state.live, ledger.state.leaving
        if live is not None and leaving:
            refused = {**ledger.state.refused, live.release.digest: leaving}
            ledger.write(leaving="", probation_seconds=None, refused=refused)
        taken = live.slot if live else self._front.slot()
        candidate = Placement(slot=other(taken), release=wanted)
        self._host.clear(candidate.slot)  # what rests there may have the settings of another day
        ledger.write(candidate=candidate, images={**ledger.state.images, wanted.image: now})
        self._advance(ledger, candidate)

    def watch(self, ledger: Ledger) -> None:
        """Look at what is on probation until it has passed, or has to go.

        Raises AgentError where it cannot be looked at; the next run goes on with the probation.
        """
        live, patience = ledger.state.live, self._settings.patience
        if live is None or ledger.state.probation_seconds is None:
            return
        ledger.reporter.log(f"on probation for {ledger.state.probation_seconds:g} seconds")
        signatures, begun = self._signatures(live), self._host.restarts(live.slot)
        failures = 0
        while (left := ledger.state.probation_seconds or 0.0) > 0:
            faults = self._examples.faults(self._front.url, signatures)
            failures = failures + 1 if faults else 0
            again = self._host.restarts(live.slot) > begun
            if again or failures >= patience.failures:
                if not again:
                    self._need_front(live)
                reason = "it ended and was started again" if again else "; ".join(faults)
                self._fail(ledger, live, self._with_log(live, f"on probation: {reason}"))
                return
            self._sleep(min(patience.look, left))
            ledger.write(probation_seconds=max(left - patience.look, 0.0))
        self._host.stop(other(live.slot))
        former = _earlier_in(ledger, other(live.slot)) or ledger.state.former
        ledger.write(probation_seconds=None, former=former, earlier=None)
        ledger.reporter.log("passed its probation; the former release is stopped, and kept")

    def leave(self, ledger: Ledger) -> None:
        """Put the former release back in service, and refuse the present one.

        Where the former does not serve either, the present one stays, and its digest is refused all
        the same; raises AgentError then, and where the former cannot be started or asked.
        """
        live, former, reason = ledger.state.live, ledger.state.former, ledger.state.leaving
        if live is None or former is None:
            ledger.write(leaving="")
            return
        ledger.reporter.log(f"going back to {former.release.image}")
        self._start(former)
        if fault := self._fault_at_start(former):
            self._restore(ledger, live)
            self._host.stop(former.slot)
            refused = self._with_refused(ledger, live.release, reason, stays=former.release)
            before = _earlier_in(ledger, former.slot) or former
            ledger.write(
                former=before, earlier=None, leaving="", probation_seconds=None, refused=refused
            )
            raise AgentError(
                f"{live.release.image} should go ({reason}), and stays: {former.release.image}, "
                f"which was there before, does not serve: {fault}"
            )
        self._front.lead_to(former)
        ledger.reporter.log("moved back")
        reports = (
            ledger.reporter.deployment(live.release, (), failure=reason),
            ledger.reporter.deployment(former.release, self._signatures(former)),
        )
        self._host.clear(live.slot)
        ledger.write(
            live=former,
            former=_earlier_in(ledger, live.slot),
            earlier=None,
            leaving="",
            probation_seconds=None,
            refused=self._with_refused(ledger, live.release, reason, stays=former.release),
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
        live = ledger.state.live
        if live is not None and self._front.leads_to(live):
            self._need_front(live)
        log(f"moving the port to {candidate.slot}")
        self._front.lead_to(candidate)
        log("moved")
        report = ledger.reporter.deployment(candidate.release, self._signatures(candidate))
        ledger.write(
            live=candidate,
            former=live or ledger.state.former,
            earlier=_earlier_than(ledger, candidate.release),
            candidate=None,
            probation_seconds=self._settings.patience.probation,
            outbox=(*ledger.state.outbox, report),
        )

    def _fault_at_start(self, placement: Placement) -> str:
        """Wait until a release that was started answers as it should; say why, if it does not."""
        ready, url = self._settings.patience.ready, self._url(placement.slot)
        deadline = time.monotonic() + ready
        begun = self._host.restarts(placement.slot)
        signatures = self._signatures(placement)
        if not signatures:
            return "it holds no model"
        while faults := self._examples.faults(url, signatures):
            if not self._host.runs(placement) or self._host.restarts(placement.slot) > begun:
                return self._with_log(placement, "it ended")
            if time.monotonic() > deadline:
                why = f"after {ready:g} seconds: {'; '.join(faults)}"
                return self._with_log(placement, why)
            self._sleep(START_PAUSE_SECONDS)
        return ""

    def _refuse(self, ledger: Ledger, candidate: Placement, reason: str) -> None:
        """Take a candidate away that does not serve; what is in service stays.

        A run that was cut off may have led the front to it.
        """
        live = ledger.state.live
        if live is not None and self._front.slot() == candidate.slot:
            self._restore(ledger, live)
        stays = live.release if live else None
        if stays is not None and stays.digest == candidate.release.digest:
            reason = f"with the settings that the service has now: {reason}"
        report = ledger.reporter.deployment(candidate.release, (), failure=reason)
        self._host.clear(candidate.slot)
        ledger.write(
            candidate=None,
            refused=self._with_refused(ledger, candidate.release, reason, stays=stays),
            outbox=(*ledger.state.outbox, report),
        )

    def _fail(self, ledger: Ledger, live: Placement, reason: str) -> None:
        if ledger.state.former is None:
            ledger.write(probation_seconds=None)
            ledger.mention("failed", f"{live.release.image}: {reason}; nothing ran here before it")
            return
        ledger.write(leaving=reason)
        self.leave(ledger)

    def _with_refused(
        self, ledger: Ledger, release: Release, reason: str, *, stays: Release | None
    ) -> dict[str, str]:
        """Return what is refused, now this too: a release, or the settings of one that stays."""
        same = stays is not None and stays.digest == release.digest
        return {**ledger.state.refused, self._settings_key() if same else release.digest: reason}

    def _settings_key(self) -> str:
        """Return as what the settings of the service are refused."""
        return f"settings {ServiceSettings.of(self._settings).mark}"

    def _restore(self, ledger: Ledger, live: Placement) -> None:
        """Have what is in service run, and the front lead to it."""
        if not self._host.runs(live):
            ledger.reporter.log(f"starting {live.release.image}, which should run")
            self._start(live)
        if not self._front.leads_to(live):
            self._front.lead_to(live)

    def _need_front(self, live: Placement) -> None:
        """Raise AgentError where what is in service answers at its own port, and not at the front.

        Then no release is at fault, but where the agent was told to look.
        """
        if not answers(self._front.url) and answers(self._url(live.slot)):
            raise AgentError(
                f"front.url: nothing answers at {self._front.url}, and {live.slot} does at its own "
                "port; where LISTEN in front.env names another address, give the same in "
                "agent.toml: [front] url"
            )

    def _signatures(self, placement: Placement) -> Sequence[Signature]:
        """Return the signatures in a release; raises AgentError where this agent reads none of it.

        A release that is newer than the agent is not refused: an agent of its age can ask it.
        """
        try:
            return self._host.signatures(placement)
        except ArtifactError as error:
            raise AgentError(
                f"{placement.release.image}: its signatures cannot be read: {error}; bring the "
                "agent up to date (deploy/home/install.sh of that release)"
            ) from error

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


def _earlier_than(ledger: Ledger, release: Release) -> Release | None:
    """Return the former release where the one in service starts anew; None where another comes."""
    live, former = ledger.state.live, ledger.state.former
    if live is None or former is None or live.release.digest != release.digest:
        return None
    return former.release


def _earlier_in(ledger: Ledger, slot: SlotName) -> Placement | None:
    """Return the former release as it would be in a slot that is free now, where one is noted."""
    earlier = ledger.state.earlier
    return None if earlier is None else Placement(slot=slot, release=earlier)
