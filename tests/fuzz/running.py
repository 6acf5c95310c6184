"""Seconds, formats and a seed → cases sent in turns, and what was seen of each format."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from tests.fuzz.cases import Case, Format, case_of
from tests.fuzz.oracle import MEASURED, Bounds, Fault, Oracle, Outcome, tried
from tests.fuzz.target import Target, fuzzed

TRIES = 4  # of a case whose time, memory or event loop is above its bound: the least counts
STEADY_CASES = 40  # between two looks at what must not change
TURN_SECONDS = 2.0  # of one format before the next one has its turn


@dataclass(frozen=True)
class Finding:
    """A case that showed faults, the faults, and which cases the service had before it."""

    case: Case
    faults: Sequence[Fault]
    before: Sequence[str] = ()


@dataclass
class Tally:
    """What was seen of one format: the worst, and the case that showed it."""

    cases: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    worst: dict[str, tuple[float, str]] = field(default_factory=dict)

    def add(self, case: Case, outcome: Outcome, seconds: float) -> None:
        """Count a case."""
        self.cases += 1
        self.seconds += seconds
        status = outcome.answer.status
        self.statuses[status] = self.statuses.get(status, 0) + 1
        measures = {
            "seconds": outcome.answer.seconds,
            "worked": outcome.processor_seconds,
            "hold_ms": outcome.hold_seconds * 1e3,
            "growth_mib": outcome.growth_bytes / (1 << 20),
            "answer_kib": len(outcome.answer.body) / 1024 if status >= 400 else 0.0,
        }
        for name, value in measures.items():
            if value > self.worst.get(name, (-1.0, ""))[0]:
                self.worst[name] = (value, f"{case.number} {case.name}"[:60])


class Run:
    """Sends cases to one service after another: one that is no more as it was is replaced."""

    def __init__(self, formats: Sequence[Format], *, seed: int, bounds: Bounds) -> None:
        """Send cases of these formats, by turns, in the order of their numbers."""
        self._formats, self._seed, self._bounds = formats, seed, bounds
        self._numbers: dict[str, Iterator[int]] = {each.name: count() for each in formats}
        self._before: list[str] = []
        self.tallies = {each.name: Tally() for each in formats}
        self.services = 0

    def choose(self, cases: int) -> None:
        """Send only so many cases of each format: some of its table, and as many mutants."""
        for kind in self._formats:
            random, table = Random(f"{kind.name} {self._seed}"), len(kind.hostile)
            chosen = random.sample(range(table), min(cases // 2, table))
            self._numbers[kind.name] = iter([*chosen, *range(table, table + cases - len(chosen))])

    def findings(self, seconds: float, folder: Path) -> Iterator[Finding]:
        """Yield what is found until the time is over; services have their files below a folder."""
        with ExitStack() as stack:
            target, oracle = self._start(stack, folder)
            deadline = time.monotonic() + seconds
            for case in self._cases(deadline):
                faults = self._try(target, oracle, case)
                if faults:
                    yield Finding(case, faults, tuple(self._before[-STEADY_CASES:]))
                if any(fault.kind in BROKEN for fault in faults):
                    stack.close()
                    target, oracle = self._start(stack, folder)
                else:
                    self._before.append(f"{case.format} {case.number}")
            if faults := oracle.steady():
                yield Finding(case, faults, tuple(self._before[-STEADY_CASES:]))

    def _try(self, target: Target, oracle: Oracle, case: Case) -> list[Fault]:
        """Send a case, count it, and return what is wrong; now and then of what must not change."""
        began = time.monotonic()
        faults, outcome = self._judge(target, oracle, case)
        if not faults and len(self._before) % STEADY_CASES == STEADY_CASES - 1:
            faults = oracle.steady()
        self.tallies[case.format].add(case, outcome, time.monotonic() - began)
        return faults

    def _start(self, stack: ExitStack, folder: Path) -> tuple[Target, Oracle]:
        """Start a service in a new folder."""
        self.services += 1
        self._before.clear()
        target = stack.enter_context(fuzzed(Path(mkdtemp(prefix="service-", dir=folder))))
        return target, Oracle(target, self._bounds)

    def _cases(self, deadline: float) -> Iterator[Case]:
        """Yield cases, of one format for some seconds and then of the next."""
        waiting = list(self._formats)
        while waiting and time.monotonic() < deadline:
            kind = waiting.pop(0)
            turn = min(deadline, time.monotonic() + TURN_SECONDS)
            for number in self._numbers[kind.name]:
                yield case_of(kind, seed=self._seed, number=number)
                if time.monotonic() >= turn:
                    waiting.append(kind)
                    break

    def _judge(self, target: Target, oracle: Oracle, case: Case) -> tuple[list[Fault], Outcome]:
        outcome = tried(target, case.request, self._bounds)
        faults = oracle.judge(case, outcome)
        for _ in range(TRIES - 1):
            if not faults or not {fault.kind for fault in faults} <= MEASURED:
                break
            outcome = outcome.least(tried(target, case.request, self._bounds))
            faults = list(oracle.measured(outcome))
        return faults or oracle.repeatable(case, outcome.answer), outcome


# After these the service is another one than before, and a new one goes on.
BROKEN = frozenset({"no answer", "worker", "state folder", "control", "not ready"})


def repeated(case: Case, *, bounds: Bounds, folder: Path) -> tuple[list[Fault], Outcome]:
    """Send one case to a new service, and return what is wrong with what became of it."""
    with fuzzed(folder) as target:
        oracle = Oracle(target, bounds)
        outcome = tried(target, case.request, bounds)
        faults = oracle.judge(case, outcome)
        return [*faults, *oracle.steady()], outcome
