"""The state of a run, written down before each step; and what people are told of it, once."""

from treeline.agent.reports import Reporter
from treeline.agent.state import State, StateFile


class Ledger:
    """The state as it is on the disk, and the reporter to whom changes of note are told."""

    def __init__(self, file: StateFile, reporter: Reporter) -> None:
        self._file = file
        self.reporter = reporter
        self.state: State = file.read()

    def write(self, **changes: object) -> None:
        """Change the state, on the disk first; raises AgentError where the disk is full."""
        state = self.state.but(**changes)
        if state != self.state:
            self._file.write(state)
            self.state = state

    def mention(self, event: str, text: str) -> None:
        """Report something that lasts: once, until it is over or has other words."""
        if self.state.said.get(event) == text:
            return
        report = self.reporter.report(event, text)
        self.write(said={**self.state.said, event: text}, outbox=(*self.state.outbox, report))

    def over(self, event: str) -> None:
        """Forget that something was mentioned, so that it is mentioned when it comes again."""
        if event in self.state.said:
            self.write(said={name: text for name, text in self.state.said.items() if name != event})

    def deliver(self) -> None:
        """Hand what waits to the webhook."""
        self.write(outbox=self.reporter.deliver(self.state.outbox))
