"""What is no longer needed → removed; what has been silent for too long → said."""

from collections.abc import Sequence
from datetime import datetime

from treeline.agent.hosts import Host
from treeline.agent.ledger import Ledger
from treeline.agent.settings import AgentSettings, Keep
from treeline.agent.state import Release

DAY_SECONDS = 86_400.0


def prune(ledger: Ledger, host: Host, keep: Keep, *, now: float) -> None:
    """Remove images that are too many, too old or refused; never one that is needed."""
    state, oldest = ledger.state, now - keep.days * DAY_SECONDS
    others = superfluous(ledger)
    good = [
        image
        for image in others
        if image.rpartition("@")[2] not in state.refused and state.images[image] >= oldest
    ]
    _forget(ledger, host, [image for image in others if image not in good[: keep.images]])


def make_room(ledger: Ledger, host: Host) -> bool:
    """Remove every image that is not needed; tell whether there was one."""
    return _forget(ledger, host, superfluous(ledger))


def superfluous(ledger: Ledger) -> list[str]:
    """Return the images that are neither in service nor about to be, the newest first."""
    state = ledger.state
    needed = {each.release.image for each in (state.live, state.former, state.candidate) if each}
    needed |= {state.earlier.image} if state.earlier else set()
    others = [image for image in state.images if image not in needed]
    return sorted(others, key=lambda image: state.images[image], reverse=True)


def _forget(ledger: Ledger, host: Host, images: Sequence[str]) -> bool:
    removed = [image for image in images if host.forget(image)]
    for image in removed:
        ledger.reporter.log(f"removed {image}")
    left = {image: when for image, when in ledger.state.images.items() if image not in images}
    ledger.write(images=left)
    return bool(removed)


def mention_silence(
    ledger: Ledger, settings: AgentSettings, wanted: Release | None, *, now: float
) -> None:
    """Say when nothing was released for too long: then what makes releases may have stopped.

    Without `wanted` nobody could be asked, or said anything; that too is said after as long.
    """
    limit = settings.silent_days
    moment = ledger.state.reached if wanted is None else _moment(wanted.made)
    event, other = ("away", "silent") if wanted is None else ("silent", "away")
    if wanted is not None:
        ledger.over(other)
    if not limit or not moment or now - moment <= limit * DAY_SECONDS:
        ledger.over(event)
    elif wanted is None:
        ledger.mention(event, f"for more than {limit:g} days nobody could say what is to run")
    else:
        ledger.mention(
            event,
            f"nothing was released since {wanted.made[:10]}, for more than {limit:g} days: "
            "see whether the workflows of the repository still run",
        )


def _moment(text: str) -> float:
    """Return a time in seconds since 1970; 0 where it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
