"""Catalogue → the web page: what is served, and a form of one model made from its signature."""

from html import escape
from importlib.resources import files
from string import Template

from api.contract.schemas import curl, feature_text
from api.models.catalogue import Catalogue, Entry
from treeline import __version__
from treeline.contract.features import Feature, Value, whole
from treeline.contract.signature import Signature
from treeline.contract.texts import text_of

ADDRESS = "http://localhost:8000/"  # until a script puts that of the page in its place

NO_MODELS = """<section><h2>No model yet</h2>
<p>Make them with <code>make repro</code>, or, where a DVC remote is configured, fetch the exported
ones with <code>dvc pull</code>; then start the service again.</p></section>"""


def render(catalogue: Catalogue, *, shown: Entry | None) -> str:
    """Return the HTML of the page, with the form of the model that is `shown`.

    It repeats no header of a request: the browser knows best which address it asked.
    """
    template = Template((files("api.pages") / "page.html").read_text(encoding="utf-8"))
    by_default_first = sorted(
        catalogue.entries(), key=lambda entry: entry.name != catalogue.default_name
    )
    return template.substitute(
        title="Treeline" if shown is None else f"{escape(shown.name)} · Treeline",
        models="".join(card(entry, catalogue, shown) for entry in by_default_first),
        model=NO_MODELS if shown is None else section(shown),
        version=escape(__version__),
    )


def card(entry: Entry, catalogue: Catalogue, shown: Entry | None) -> str:
    """Return the link to one model among all."""
    notes = [f"version {entry.version}" if entry.version else "unreadable"]
    if entry.name == catalogue.default_name:
        notes.append("default")
    if not entry.ready:
        notes.append("not served")
    current = ' aria-current="page"' if entry is shown else ""
    kind = "" if entry.ready else ' class="broken"'
    return (
        f'<a href="?model={escape(entry.name)}"{current}{kind}><strong>{escape(entry.name)}'
        f'</strong><small class="soft">{escape(" · ".join(notes))}</small></a>'
    )


def section(entry: Entry) -> str:
    """Return one model in full: its form, or the reason why it has none."""
    if entry.tensor is not None:
        return (
            f"<section><h2>{escape(entry.name)} takes values, not records</h2>"
            '<p><a href="docs">The documentation</a> says which.</p></section>'
        )
    if entry.predictor is None or entry.signature is None:
        return (
            f"<section><h2>{escape(entry.name)} is not served</h2>"
            f"<p>{escape(entry.reason)}</p></section>"
        )
    signature, path = entry.signature, f"v1/models/{entry.name}/predict"
    fields = "".join(
        field(name, feature, signature.example.record.get(name))
        for name, feature in signature.features.items()
    )
    command = escape(curl(signature, url=f"{ADDRESS}{path}"))
    command = command.replace(ADDRESS, f"<span data-address>{ADDRESS}</span>", 1)
    return f"""<section><h2>{escape(signature.description or entry.name)}</h2>
<p class="soft">{escape(target_text(signature))}</p>
<form action="{escape(path)}" data-target="{escape(signature.target.name)}"
  data-share="{escape(share_text(signature))}" novalidate>{fields}
<div class="actions"><button>Predict</button>
<label class="tick"><input type="checkbox" id="explain"> and say what each feature adds</label>
<div id="answer" role="status" hidden><div id="headline"></div><div id="bars"></div>
<pre id="raw"></pre></div>
</div></form>
<h3>The same from a terminal</h3><pre>{command}</pre></section>"""


def target_text(signature: Signature) -> str:
    """Say what comes back: the target, what it means, and its classes or unit."""
    target = signature.target
    text = f"Predicts {target.name}" + (f": {target.description}" if target.description else "")
    if signature.classes:
        return f"{text.rstrip('.')}. Classes: {', '.join(map(text_of, signature.classes))}."
    return f"{text.rstrip('.')}." + (f" Unit: {target.unit}." if target.unit else "")


def share_text(signature: Signature) -> str:
    """Say in front of a probability what it is the probability of."""
    if signature.target.task != "binary" or not signature.classes:
        return "probability:"
    return f"probability that {signature.target.name} is {text_of(signature.classes[-1])}:"


def field(name: str, feature: Feature, example: Value | None) -> str:
    """Return one labelled input, filled with the value of the example."""
    choices = feature.kind.choices(feature)
    given = "" if example is None else text_of(whole(example))
    attributes = f'name="{escape(name)}" data-type="{feature.type}"'
    if not choices:
        control = f'<input type="number" {attributes} value="{escape(given)}"{limits(feature)}>'
    else:
        texts = ["", *choices] if feature.optional else choices
        options = "".join(option(text, given) for text in texts)
        control = f"<select {attributes}>{options}</select>"
    bounded = (feature.minimum, feature.maximum) != (None, None) or feature.kind.whole
    wanted = feature.describe().capitalize() if bounded else ""
    note = ". ".join(part for part in (feature_text(feature), wanted) if part)
    hint = f"<small>{escape(note)}</small>" if note else ""
    return f'<label><span>{escape(name)}</span>{control}{hint}<small class="wrong"></small></label>'


def option(text: str, given: str) -> str:
    """Return one choice of a list; an empty one stands for leaving the value out."""
    chosen = " selected" if text == given else ""
    return f'<option value="{escape(text)}"{chosen}>{escape(text) or "(left out)"}</option>'


def limits(feature: Feature) -> str:
    """Return the attributes that keep a number within its bounds."""
    bounds = {"min": feature.minimum, "max": feature.maximum}
    step = "1" if feature.kind.whole else "any"
    written = "".join(
        f' {key}="{text_of(whole(bound))}"' for key, bound in bounds.items() if bound is not None
    )
    return f' step="{step}"{written}'
