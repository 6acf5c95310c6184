"""Concurrency groups: one runs, others wait or are cancelled, as `concurrency:` says."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MOST = 100  # that wait with `queue: max`; one waits without it


class Cancelled(Exception):
    """A run or a job that another one of its group cancelled while it waited or ran."""


@dataclass(eq=False)
class Ticket:
    """A run or a job in a group; `cancelled` is looked at before each of its steps."""

    name: str
    cancelled: bool = False


@dataclass
class Group:
    running: Ticket | None = None
    pending: list[Ticket] = field(default_factory=list)


class Queues:
    """The groups of a repository, by their names, whose capitals do not count."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._groups: dict[str, Group] = {}

    def waiting(self, group: str) -> list[str]:
        """Return the names of those that wait in a group, the next one first."""
        with self._changed:
            known = self._groups.get(group.lower(), Group())
            return [ticket.name for ticket in known.pending]

    @contextmanager
    def turn(self, concurrency: Mapping[str, Any] | None, name: str) -> Iterator[Ticket]:
        """Wait until the group is free, and hold it; raises Cancelled while it waits.

        `concurrency` is the evaluated key of a workflow or job: `group`, `cancel-in-progress` and
        `queue`, which is `single` unless it is `max`.
        """
        ticket = Ticket(name)
        if not concurrency or not concurrency.get("group"):
            yield ticket
            return
        key = str(concurrency["group"]).lower()
        cancels = str(concurrency.get("cancel-in-progress", "false")).lower() == "true"
        most = MOST if concurrency.get("queue") == "max" else 1
        with self._changed:
            group = self._groups.setdefault(key, Group())
            self._enter(group, ticket, cancels=cancels, most=most)
            self._changed.notify_all()
            self._changed.wait_for(lambda: ticket.cancelled or _is_next(group, ticket))
            if ticket.cancelled:
                raise Cancelled(name)
            group.pending.remove(ticket)
            group.running = ticket
        try:
            yield ticket
        finally:
            with self._changed:
                group.running = None
                self._changed.notify_all()

    @staticmethod
    def _enter(group: Group, ticket: Ticket, *, cancels: bool, most: int) -> None:
        if cancels and group.running:
            group.running.cancelled = True
        if most > 1 and len(group.pending) >= most:
            ticket.cancelled = True  # a full queue takes no more
            return
        if most == 1 or cancels:
            for older in group.pending:
                older.cancelled = True
            group.pending.clear()
        group.pending.append(ticket)


def _is_next(group: Group, ticket: Ticket) -> bool:
    return group.running is None and group.pending[0] is ticket
