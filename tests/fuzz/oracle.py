"""A case and what became of it → everything that should not have been."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fuzz.cases import Case, Request
from tests.fuzz.controls import Controls, own
from tests.fuzz.sending import Answer
from tests.fuzz.target import Target

SETTLE_SECONDS = 20.0
DYING_SECONDS = 0.2  # the connections of a process end before it does
MOST_PROBLEM_BYTES = 64 << 10
MOST_LOG_BYTES = 64 << 10
# C0 but newline, C1, the separators that some readers end a line at, and bidirectional marks
FORGING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
CONTAINED = ("onnx", "values", "oip-json", "oip-binary")
"""Formats with graphs in them: a graph may break the process that it runs in, a table may not."""
REPEATED = ("arrow", "parquet")
"""Formats whose reader could take what stands elsewhere in memory for values."""
PACKED = "application/vnd.apache.parquet"
LATE = b"urn:treeline:problem:run-too-long"
CRASHED = b"urn:treeline:problem:run-crashed"
RESTING = b"API_RUN_SECONDS admits; it rests"
MEASURED = frozenset({"event loop", "memory", "time", "work"})


@dataclass(frozen=True)
class Bounds:
    """What no request may exceed."""

    seconds: float = 60.0
    processor_seconds: float = 20.0
    hold_seconds: float = 0.02
    growth_bytes: int = 768 << 20  # what a run may have, and the libraries of a new process


@dataclass(frozen=True)
class Fault:
    """One thing that should not have been: its kind, and what was seen."""

    kind: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """An answer, and what it took."""

    answer: Answer
    growth_bytes: int
    hold_seconds: float
    processor_seconds: float = 0.0

    def least(self, other: "Outcome") -> "Outcome":
        """Return the lower measures of two runs: what a busy machine adds is in one of them."""
        answer = self.answer if self.answer.seconds <= other.answer.seconds else other.answer
        return Outcome(
            answer,
            min(self.growth_bytes, other.growth_bytes),
            min(self.hold_seconds, other.hold_seconds),
            min(self.processor_seconds, other.processor_seconds),
        )


def tried(target: Target, request: Request, bounds: Bounds) -> Outcome:
    """Send a request and return what became of it."""
    answer = target.watched(request, seconds=2 * bounds.seconds)
    watch = target.watch
    return Outcome(answer, watch.growth_bytes, watch.hold_seconds, watch.processor_seconds)


class Oracle:
    """Judges what a service does with requests."""

    def __init__(self, target: Target, bounds: Bounds) -> None:
        self._target, self._bounds = target, bounds
        self._controls = Controls(target)

    def judge(self, case: Case, outcome: Outcome) -> list[Fault]:
        """Return the faults of one case; none is good news."""
        return [
            *self.measured(outcome),
            *self._answered(case, outcome.answer),
            *self._shaped(outcome.answer),
            *self._secrets(case, outcome.answer),
            *self._logged(),
            *self._left(outcome.answer),
        ]

    def measured(self, outcome: Outcome) -> Iterator[Fault]:
        """Compare time, memory and event loop with the bounds."""
        bounds, answer = self._bounds, outcome.answer
        if answer.seconds > bounds.seconds:
            yield Fault("time", f"{answer.seconds:.1f} s, at most {bounds.seconds:g} s")
        if outcome.processor_seconds > bounds.processor_seconds:
            worked, most = outcome.processor_seconds, bounds.processor_seconds
            yield Fault("work", f"{worked:.1f} s of a processor, at most {most:g} s")
        if outcome.hold_seconds > bounds.hold_seconds:
            held, most = outcome.hold_seconds * 1e3, bounds.hold_seconds * 1e3
            yield Fault("event loop", f"held for {held:.0f} ms, at most {most:g} ms")
        if outcome.growth_bytes > bounds.growth_bytes:
            grown, most = outcome.growth_bytes >> 20, bounds.growth_bytes >> 20
            yield Fault("memory", f"{grown} MiB more, at most {most} MiB")

    def repeatable(self, case: Case, answer: Answer) -> list[Fault]:
        """Ask the same again: an answer that is another one has something in it of elsewhere."""
        if case.format not in REPEATED or answer.media_type == PACKED or not answer.status:
            return []
        again = self._target.ask(case.request)
        if again.status == answer.status and own(again.body) == own(answer.body):
            return []
        if LATE in answer.body or LATE in again.body:  # which is for the machine to say
            return []
        return [Fault("guess", f"{answer.status} {answer.body[:200]!r} or {again.body[:200]!r}")]

    def steady(self) -> list[Fault]:
        """Ask what is well-formed, whose answers may not change, and whether all is ready."""
        faults = [Fault("control", text) for text in self._controls.changes()]
        ready = self._target.ask(Request("GET", "/readyz"))
        if ready.status != 200:
            faults.append(Fault("not ready", f"{ready.status} {ready.fault}{ready.body[:500]!r}"))
        return faults

    def _answered(self, case: Case, answer: Answer) -> Iterator[Fault]:
        """Look at the status of an answer; a raw request may be none, and have none."""
        if not answer.status:
            if case.request.raw is None:
                yield Fault("no answer", answer.fault)
            return
        raw = case.request.raw is not None
        known = raw or answer.status in self._target.documented(case.request)
        rests = RESTING in answer.body
        if (answer.status >= 500 and not rests) or not known:
            text = "" if known else ", which is not documented"
            yield Fault("status", f"{answer.status}{text}: {answer.body[:300]!r}")
        if case.refused and answer.status < 400:
            yield Fault("accepted", f"{answer.status} for what is not so: {answer.body[:300]!r}")
        if CRASHED in answer.body and case.format not in CONTAINED:
            yield Fault("crash", f"it broke the process that read it: {answer.body[:300]!r}")

    def _shaped(self, answer: Answer) -> Iterator[Fault]:
        """Look at the size of a problem, and whether it is what it says."""
        if answer.status < 400:
            return
        if len(answer.body) > MOST_PROBLEM_BYTES:
            yield Fault("size", f"a problem of {len(answer.body)} bytes")
        if answer.body and "json" in answer.media_type and not is_json(answer.body):
            yield Fault("answer", f"no JSON: {answer.body[:200]!r}")

    def _secrets(self, case: Case, answer: Answer) -> Iterator[Fault]:
        """Look for secrets in the answer, and for what others said."""
        text = answer.body + repr(answer.headers).encode()
        if any(secret in text for secret in self._target.secrets):
            yield Fault("secret", "the answer repeats a secret of the environment")
        for canary in self._controls.canaries:
            if canary in text and canary not in case.payload:
                yield Fault("secret", "the answer repeats what another request said")

    def _logged(self) -> Iterator[Fault]:
        """Look at what the service has logged: secrets, failures, forged lines, and how much."""
        log = self._target.new_log()
        if any(secret in log for secret in self._target.secrets):
            yield Fault("secret", "the log repeats a secret of the environment")
        if len(log) > MOST_LOG_BYTES:
            yield Fault("log", f"{len(log)} bytes of log: {log[:300]!r}")
        if b"Traceback" in log:
            yield Fault("log", f"a traceback: …{log[-1500:].decode(errors='replace')}")
        if marks := FORGING.findall(log.decode(errors="replace")):
            yield Fault("log", f"characters that forge lines: {sorted(set(marks))!r}")

    def _left(self, answer: Answer) -> Iterator[Fault]:
        """Look at the processes and at the state folder."""
        if not answer.status:
            time.sleep(DYING_SECONDS)
        if self._target.workers != [self._target.worker]:
            yield Fault(
                "worker", f"the worker was {self._target.worker}, now {self._target.workers}"
            )
        deadline = time.monotonic() + SETTLE_SECONDS
        while (left := self._target.drafts()) and time.monotonic() < deadline:
            time.sleep(0.01)
        if left:
            yield Fault("state folder", f"left behind: {left[:5]}")


def is_json(body: bytes) -> bool:
    """Tell whether a body is JSON."""
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
