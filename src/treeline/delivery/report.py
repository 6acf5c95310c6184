"""The summary of a run → its report, in Markdown: the verdict in words first. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from treeline.contract.features import labels
from treeline.contract.texts import text_of
from treeline.delivery.account import ModelSummary, RunSummary
from treeline.delivery.notes import Failure
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


def report(summary: RunSummary) -> str:
    """Return the whole report."""
    parts = [
        MARK,
        f"# {headline(summary)}",
        _why(summary),
        _consequence(summary),
        *(_model(model, summary) for model in _sections(summary)),
        _unchanged(summary),
        f"[The run]({summary.run}) has the rest." if summary.run else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def shortened(text: str, summary: RunSummary) -> str:
    """Return a report short enough to be a comment; the whole of it is on the page of the run."""
    if len(text) <= MOST_CHARACTERS:
        return text
    where = f"on the page of [the run]({summary.run})" if summary.run else "printed: make report"
    cut = text[:MOST_CHARACTERS].rpartition("\n")[0]
    return f"{cut}\n\nToo long for a comment; the whole of it is {where}.\n"


def worth_a_comment(summary: RunSummary) -> bool:
    """Tell whether anybody need be told: something changed, or something went wrong anew."""
    published = summary.published
    if published is None:
        return summary.alarming or bool(summary.changed)
    held = set(published.held)
    fresh = [model for model in summary.changed if model.name not in held]
    return summary.alarming or bool(fresh) or published.changed


def headline(summary: RunSummary) -> str:
    """Return the whole run in one line: what weighs most comes first, what was published last."""
    broken = [_place(each) for each in summary.failures if not each.refused]
    refused = [each.model for each in summary.failures if each.refused]
    lost = [] if summary.accepted else list(summary.lost)
    published = summary.published
    held = set(published.held) if published else set()
    names = ", ".join(model.name for model in summary.changed if model.name not in held)
    ended = ENDED[summary.error.command] if summary.error else ""
    is_published = bool(published and published.changed)
    bad = {
        f"Training failed: {', '.join(broken)}": broken,
        f"Refused at the gate: {', '.join(refused)}": refused,
        f"Refused, for not fit to follow the model before: {', '.join(lost)}": lost,
        ended: ended,
    }
    good = {
        f"Trained and published: {names or 'new numbers, the same models'}": is_published,
        f"Trained: {names}": names,
        "Nothing to train, and something new to deploy": published and published.released,
    }
    first = next((line for line, true in bad.items() if true), "")
    second = next((line for line, true in good.items() if true), "")
    if first:
        return f"{first}. Published all the same: {names}" if is_published and names else first
    return second or "Nothing has changed"


def _why(summary: RunSummary) -> str:
    reason = " ".join(summary.reason.split())
    lines = [f"Asked for because: {reason}"] if reason else []
    for each in summary.failures:
        lines.append(f"- **{_place(each)}**: " + each.reason.replace("\n", "\n  "))
    if summary.error:
        lines.append(_quoted(summary.error.message))
    lines += [f"- **{name}** is left out: {why}" for name, why in summary.left_out.items()]
    if summary.lost and summary.accepted:
        lines.append("A person accepted a model that the comparison would not let pass.")
    return "\n\n".join(lines)


def _place(failure: Failure) -> str:
    return f"{failure.stage} {failure.model}".strip() or "the pipeline"


def _quoted(message: str) -> str:
    """Return a text as it is, whatever it says: no run of backticks in it ends the block."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", message))])
    return f"{fence}\n{message}\n{fence}"


def _consequence(summary: RunSummary) -> str:
    """Say what is written back, and what will be deployed."""
    published = summary.published
    if published is None:
        return "Nothing was written back to git, and nothing will be deployed."
    lines = []
    if published.changed and published.commit:
        lines.append(f"Written back to git as {published.commit[:12]}.")
    if published.removed:
        lines.append(f"Declared no more, and removed: {', '.join(published.removed)}.")
    if published.released:
        models = [model for model in summary.models if model.name not in published.held]
        shipped = ", ".join(f"{model.name} `{model.version}`" for model in models)
        which = f": {shipped}" if shipped else ", with the models that were released before"
        lines.append(f"Will be deployed from {(published.commit or '')[:12]}{which}.")
    if published.branch:
        lines.append(f"Pushed to {published.branch}.")
    paragraphs = [" ".join([*lines, published.note]).strip()]
    for name, why in published.held.items():
        before = ", as told before" if name in published.repeated else ""
        paragraphs.append(f"- **{name}** goes on as it was released last{before}: {why}")
    return "\n\n".join(paragraphs)


def _sections(summary: RunSummary) -> list[ModelSummary]:
    """Return the models worth a section: those that changed, and those that failed."""
    bad = {each.model for each in summary.failures} | set(summary.lost)
    return [model for model in summary.models if model.changed or model.name in bad]


def _unchanged(summary: RunSummary) -> str:
    shown = _sections(summary)
    same = [f"{each.name} `{each.version}`" for each in summary.models if each not in shown]
    return f"Unchanged: {', '.join(same)}." if same else ""


def _model(model: ModelSummary, summary: RunSummary) -> str:
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
    pieces += ["### Data", _data(model), _pictures(model, summary)]
    return "\n\n".join(piece for piece in pieces if piece)


def _lead(model: ModelSummary) -> str:
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


def _data(model: ModelSummary) -> str:
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
    counts = {f"rows {name}".replace("_", " "): n for name, n in summary.get("rows", {}).items()}
    counts |= {f"rows without `{name}`": n for name, n in summary.get("missing", {}).items()}
    counts |= {
        f"groups {name}".replace("_", " "): n for name, n in summary.get("groups", {}).items()
    }
    target = summary.get("target", {})
    pairs = zip(labels(target.get("classes", ())), target.get("counts", ()), strict=True)
    counts |= {f"rows of class `{text_of(value)}`": n for value, n in pairs}
    if "duplicates" in summary:
        counts["rows that repeat another"] = summary["duplicates"]
    return {name: f"{n:,}" if isinstance(n, int) else str(n) for name, n in counts.items()}


def _pictures(model: ModelSummary, summary: RunSummary) -> str:
    """Show the plots as they stand in the commit; without one they are with the run."""
    commit = summary.published.commit if summary.published else None
    if not (commit and summary.browser and model.images):
        return ""
    shown = [
        f"![{path.rpartition('/')[2][:-4]}]({summary.browser}/blob/{commit}/{path}?raw=true)"
        for path in model.images
    ]
    return "### Pictures\n\n" + "\n".join(shown)
