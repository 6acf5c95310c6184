"""The account of a run → its report, in Markdown: the verdict in words first. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from treeline.contract.features import labels
from treeline.contract.texts import text_of
from treeline.delivery.account import Account, ModelAccount
from treeline.delivery.reproducing import Failure
from treeline.reports import deciding, sections
from treeline.reports.markdown import NOTHING, table
from treeline.reports.training import candidates

MOST_CHARACTERS = 60_000  # a comment may have 65,536
ENDED = {
    "pull": "Not trained: data and models could not be fetched",
    "retrain": "Training failed",
    "compare": "Not published: the models could not be compared",
    "publish": "Trained, but not written back",
}
MARK = "<!-- treeline: report -->"  # by which a later run finds its comment again


def report(account: Account) -> str:
    """Return the whole report."""
    parts = [
        MARK,
        f"# {headline(account)}",
        _why(account),
        _consequence(account),
        *(_model(model, account) for model in _told(account)),
        _unchanged(account),
        f"[The run]({account.run}) has the rest." if account.run else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def shortened(text: str, account: Account) -> str:
    """Return a report short enough to be a comment; the whole of it is on the page of the run."""
    if len(text) <= MOST_CHARACTERS:
        return text
    where = f"on the page of [the run]({account.run})" if account.run else "printed: make report"
    cut = text[:MOST_CHARACTERS].rpartition("\n")[0]
    return f"{cut}\n\nToo long for a comment; the whole of it is {where}.\n"


def worth_a_comment(account: Account) -> bool:
    """Tell whether anybody need be told: something changed, or something went wrong."""
    bad = account.failures or account.worse or account.complaint
    return bool(bad or account.changed or (account.published and account.published.changed))


def headline(account: Account) -> str:
    """Return the whole run in one line: what weighs most comes first."""
    broken = [_place(each) for each in account.failures if not each.refused]
    refused = [each.model for each in account.failures if each.refused]
    names = ", ".join(model.name for model in account.changed)
    published = account.published
    ended = ENDED[account.complaint.command] if account.complaint else ""
    lines = {
        f"Training failed: {', '.join(broken)}": broken,
        f"Refused at the gate: {', '.join(refused)}": refused,
        "Refused: not fit to follow the model before": account.worse and not account.accepted,
        ended: ended,
        f"Trained and published: {names or 'new numbers, the same models'}": (
            published and published.changed
        ),
        f"Trained: {names}": names,
        "Nothing to train, and something new to deploy": published and published.released,
    }
    return next((line for line, true in lines.items() if true), "Nothing has changed")


def _why(account: Account) -> str:
    reason = " ".join(account.reason.split())
    lines = [f"Asked for because: {reason}"] if reason else []
    for each in account.failures:
        lines.append(f"- **{_place(each)}**: " + each.reason.replace("\n", "\n  "))
    if account.complaint:
        lines.append(_quoted(account.complaint.message))
    if account.worse and account.accepted:
        lines.append("A person accepted a model that the comparison would not let pass.")
    return "\n\n".join(lines)


def _place(failure: Failure) -> str:
    return f"{failure.stage} {failure.model}".strip() or "the pipeline"


def _quoted(message: str) -> str:
    """Return a text as it is, whatever it says: no run of backticks in it ends the block."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", message))])
    return f"{fence}\n{message}\n{fence}"


def _consequence(account: Account) -> str:
    """Say what is written back, and what will be deployed."""
    published = account.published
    if published is None:
        return "Nothing was written back to git, and nothing will be deployed."
    lines = []
    if published.changed and published.commit:
        lines.append(f"Written back to git as {published.commit[:12]}.")
    if published.released:
        shipped = ", ".join(f"{model.name} `{model.version}`" for model in account.models)
        lines.append(f"Will be deployed from {(published.commit or '')[:12]}: {shipped}.")
    return " ".join([*lines, published.note]).strip()


def _told(account: Account) -> list[ModelAccount]:
    """Return the models worth a section: those that changed, and those that failed."""
    failed = {each.model for each in account.failures}
    worse = "must not ship", "cannot be compared"
    return [
        model
        for model in account.models
        if model.changed or model.name in failed or any(word in model.comparison for word in worse)
    ]


def _unchanged(account: Account) -> str:
    told = _told(account)
    same = [f"{each.name} `{each.version}`" for each in account.models if each not in told]
    return f"Unchanged: {', '.join(same)}." if same else ""


def _model(model: ModelAccount, account: Account) -> str:
    arrow = f"`{model.before or 'new'}` → `{model.version or 'none'}`"
    stays = f"stays `{model.version}`" if model.version else "has no version yet"
    title = f"## {model.name} {arrow if model.changed else stays}"
    parts = [title]
    parts += [f"- {reason}" for reason in model.verdict.get("reasons", ())]
    text = "\n".join(parts[1:])
    pieces = [title, _lead(model), text, _demoted(model.comparison)]
    if not model.comparison and model.evaluation:
        pieces += ["### Metrics", sections.metrics(model.evaluation)]
    if model.training:
        pieces += ["### Candidates", candidates(model.training)]
    pieces += ["### Data", _data(model), _pictures(model, account)]
    return "\n\n".join(piece for piece in pieces if piece)


def _lead(model: ModelAccount) -> str:
    """Say how good the champion is, where the record of its training is there."""
    if not (model.evaluation and model.training):
        return ""
    metric, champion = model.training["metric"], model.training["champion"]
    if metric not in model.evaluation["champion"]:
        return ""
    return deciding.lead(model.evaluation, metric=metric, champion=champion)


def _demoted(markdown: str) -> str:
    """Return a text of its own as a part of this one."""
    return "\n".join(
        f"#{line}" if line.startswith("#") else line for line in markdown.strip().splitlines()
    )


def _data(model: ModelAccount) -> str:
    """Set the counts of the data beside those of before."""
    now, before = _counts(model.summary), _counts(model.summary_before)
    if now == before:
        return "The data are those of before."
    rows = [
        [name, before.get(name, NOTHING), now.get(name, NOTHING)]
        for name in dict.fromkeys([*now, *before])
        if before.get(name) != now.get(name)
    ]
    return table(["what changed", "before", "now"], rows)


def _counts(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return every count of a summary by what it counts."""
    found = {f"rows {name}".replace("_", " "): n for name, n in summary.get("rows", {}).items()}
    found |= {f"rows without `{name}`": n for name, n in summary.get("missing", {}).items()}
    found |= {
        f"groups {name}".replace("_", " "): n for name, n in summary.get("groups", {}).items()
    }
    target = summary.get("target", {})
    pairs = zip(labels(target.get("classes", ())), target.get("counts", ()), strict=True)
    found |= {f"rows of class `{text_of(value)}`": n for value, n in pairs}
    if "duplicates" in summary:
        found["rows that repeat another"] = summary["duplicates"]
    return {name: f"{n:,}" if isinstance(n, int) else str(n) for name, n in found.items()}


def _pictures(model: ModelAccount, account: Account) -> str:
    """Show the plots as they stand in the commit; without one they are with the run."""
    commit = account.published.commit if account.published else None
    if not (commit and account.browser and model.images):
        return ""
    shown = [
        f"![{path.rpartition('/')[2][:-4]}]({account.browser}/blob/{commit}/{path}?raw=true)"
        for path in model.images
    ]
    return "### Pictures\n\n" + "\n".join(shown)
