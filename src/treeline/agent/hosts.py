"""What runs a release on this machine: a small protocol, and the table of those who speak it.

To add one: a class with these methods in a module of its own, and one line in HOSTS.
"""

from collections.abc import Sequence
from typing import Protocol, Self

from treeline.agent.settings import AgentSettings
from treeline.agent.state import Placement, Release, SlotName
from treeline.contract.signature import Signature
from treeline.registry import resolve

HOSTS = {
    "docker": "treeline.agent.containers:ContainerHost",
    "podman": "treeline.agent.containers:ContainerHost",
    "environment": "treeline.agent.environments:EnvironmentHost",
}


class Host(Protocol):
    """Two slots, each of which runs one release or none; every method raises AgentError.

    Each can be called again after it was cut off anywhere, and then does what is left to do.
    """

    @classmethod
    def from_settings(cls, settings: AgentSettings) -> Self:
        """Return the host of this machine."""
        ...

    def fetch(self, release: Release) -> None:
        """Have all of a release on this machine."""
        ...

    def start(self, placement: Placement) -> None:
        """Run a release in a slot; whatever else was there ends. What runs already goes on."""
        ...

    def is_current(self, placement: Placement) -> bool:
        """Tell whether what is in the slot was started with the service's settings of today."""
        ...

    def signatures(self, placement: Placement) -> Sequence[Signature]:
        """Return the signatures in a release that was started, by name."""
        ...

    def runs(self, placement: Placement) -> bool:
        """Tell whether that release runs in that slot."""
        ...

    def restarts(self, slot: SlotName) -> int:
        """Return how often what runs in a slot ended and was started again by its supervisor."""
        ...

    def last_words(self, slot: SlotName) -> str:
        """Return the end of the log of what runs in a slot, or ran there last."""
        ...

    def stop(self, slot: SlotName) -> None:
        """End what runs in a slot, its requests first; it can be started again at once."""
        ...

    def clear(self, slot: SlotName) -> None:
        """End what runs in a slot, its requests first, and leave nothing of it."""
        ...

    def forget(self, image: str) -> bool:
        """Remove what was fetched of a release; tell whether something was there."""
        ...


def host_of(settings: AgentSettings) -> Host:
    """Return the host that the settings name; raises UnknownNameError."""
    kind: type[Host] = resolve(HOSTS, settings.host, place="host")
    return kind.from_settings(settings)
