"""How a scheduled training ended → one issue, opened, kept up to date, closed; and a webhook."""

from datetime import UTC, datetime

from treeline.delivery import actions, issues, refusals
from treeline.deployment.exchange import exchange
from treeline.errors import DeliveryError

MARK = "<!-- treeline: scheduled training -->"  # by which a later run finds its issue again
TITLE = "The scheduled training needs somebody"
WELL = "All is well again: the scheduled training went through."


def notify(*, failed: bool, webhook: str = "") -> str:
    """Notify people, and return what was sent; nothing where nothing has changed.

    A model whose refusal is on record is not well, though its training is not repeated: the issue
    stays open until it passes. Raises DeliveryError where GitHub or the webhook cannot be reached.
    """
    earlier, refused = issues.marked(issues.open_issues(), MARK), sorted(refusals.known())
    if failed:
        text = _complaint(refused)
        issues.keep_issue(earlier, title=TITLE, body=text)
        _post(webhook, f"{TITLE}: {_run()}")
        return text
    if not earlier or refused:
        return ""
    issues.edit_issue(earlier["number"], state="closed", body=f"{MARK}\n\n{WELL} {_run()}")
    _post(webhook, f"{WELL} {_run()}")
    return WELL


def _complaint(refused: list[str]) -> str:
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    lines = [MARK, f"The scheduled training failed, the last time at {when}: {_run()}."]
    if refused:
        lines.append(f"Refused, and not trained again until something changes: {_names(refused)}.")
    lines.append("The page of the run says why. This issue is brought up to date, and closed.")
    return "\n\n".join(lines) + "\n"


def _names(refused: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in refused)


def _run() -> str:
    """Return the address of this run; by hand, its name."""
    return actions.run_page() or "a run by hand"


def _post(webhook: str, text: str) -> None:
    if not webhook:
        return
    answer = exchange("POST", webhook, document={"text": text})
    if not 200 <= answer.status < 300:
        raise DeliveryError(f"NOTIFY_WEBHOOK: {answer.status or 'no answer'}: {answer.words}")
