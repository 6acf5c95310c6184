"""What was trained → stored in the remote, committed, pushed, released."""

from treeline.delivery import actions, notes, publishing, releasing, repository, tracking
from treeline.delivery.notes import Published


def publish(*, reason: str) -> Published:
    """Publish, and leave a note for the report, of a failure too."""
    with notes.recording_error("publish"):
        published = publishing.publish(reason=reason)
    notes.write(published)
    if published.note:
        actions.notice(published.note)
    actions.output(commit=published.commit or "", changed=str(published.changed).lower())
    actions.output(branch=published.branch)
    on_main = repository.branch() == releasing.MAIN and not published.branch
    if published.commit and on_main:
        tracking.follow(pushed=published.commit)
    return published
