"""What happened → the log, the record of deployments on this machine, and a webhook.

A report waits in the state until the webhook has taken it: the machine may have no network when
something happens. It may arrive twice, never not at all; of very many the oldest are dropped.
"""

import json
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from treeline.agent.settings import AgentSettings
from treeline.agent.state import Release, Report
from treeline.contract.signature import Signature
from treeline.deployment.exchange import exchange
from treeline.errors import AgentError
from treeline.files import write_json

RECORDS = "deployments.json"  # in the folder of the agent, the newest last
MOST_RECORDS = 200
WAITING_REPORTS = 50
WEBHOOK_SECONDS = 10.0
IN_SERVICE, FAILED = "in service", "failed"


class Reporter:
    """Tells what an agent does, in the name of its machine."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._machine = settings.name or socket.gethostname()
        self._records = settings.state_dir / RECORDS

    def log(self, text: str) -> None:
        """Print a line; the journal keeps it."""
        print(text, flush=True)

    def deployment(
        self, release: Release, signatures: Sequence[Signature], *, failure: str = ""
    ) -> Report:
        """Record that a release is in service here, or failed to be, and return the report.

        Raises AgentError where the disk does not take the record.
        """
        record: dict[str, Any] = {
            "commit": release.commit,
            "models": {each.name: each.version for each in signatures},
            "image": release.image,
            "target": f"home:{self._machine}",
            "url": self._settings.front.url,
            "when": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "outcome": FAILED if failure else IN_SERVICE,
            "reason": failure,
        }
        self._record(record)
        text = f"{release.image} is in service"
        if failure:
            text = f"{release.image} is not in service: {failure}"
        return self.report(FAILED if failure else IN_SERVICE, text, document=record)

    def _record(self, record: dict[str, Any]) -> None:
        """Write a record down, unless a run that was killed has written it already."""
        records = read_records(self._settings.state_dir)
        if not records or {**records[-1], "when": ""} != {**record, "when": ""}:
            try:
                write_json(self._records, [*records, record][-MOST_RECORDS:])
            except OSError as error:
                raise AgentError(f"{self._records}: cannot be written: {error}") from error

    def report(self, event: str, text: str, *, document: dict[str, Any] | None = None) -> Report:
        """Log a text and return it as a report for the outbox."""
        self.log(text)
        return Report(event=event, text=f"{self._machine}: {text}", document=document or {})

    def deliver(self, waiting: tuple[Report, ...]) -> tuple[Report, ...]:
        """Post what waits, in order, and return what is still to be posted."""
        if not self._settings.webhook:
            return ()
        waiting = waiting[-WAITING_REPORTS:]
        for position, report in enumerate(waiting):
            document = {"text": report.text, "event": report.event, "record": report.document}
            answer = exchange(
                "POST", self._settings.webhook, document=document, timeout_seconds=WEBHOOK_SECONDS
            )
            if answer.status not in range(200, 300):
                self.log(f"webhook: {answer.status or 'no answer'}: {answer.words}; tried again")
                return waiting[position:]
        return ()


def read_records(state_dir: Path) -> list[dict[str, Any]]:
    """Return the deployments on this machine, the newest last; none where none can be read."""
    try:
        records = json.loads((state_dir / RECORDS).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return records if isinstance(records, list) else []
