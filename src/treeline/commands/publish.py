"""What was trained → stored in the remote, committed, pushed, released."""

from treeline.delivery import actions, notes, publishing, releasing, repository, tracking
from treeline.delivery.publishing import Published


def publish(*, reason: str) -> Published:
    """Publish, and leave a note for the report, of a failure too."""
    with notes.complaining("publish"):
        published = publishing.publish(reason=reason)
    notes.leave(notes.PUBLISHED, published.plain())
    if published.note:
        actions.notice(published.note)
    actions.output(commit=published.commit or "", changed=str(published.changed).lower())
    if published.commit and repository.branch() == releasing.MAIN:
        tracking.follow(pushed=published.commit)
    return published
