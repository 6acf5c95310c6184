"""What is drafted of a table: features, what is left out and why, the split, the gate.

Each case is a column of one table of staff, whose target follows from their mood, with noise.
"""

import random
from collections.abc import Callable

import pytest

from treeline.drafting.choices import Draft, draft
from treeline.drafting.columns import read_columns
from treeline.drafting.hints import Hints
from treeline.errors import DataError

ROWS = 240
Made = Callable[[random.Random, int, str], object]

TEXTS = ("we", "met", "and", "then", "they", "said", "that", "much", "of", "it", "was", "good")


def _table(**more: Made) -> dict[str, list[str]]:
    rng = random.Random(3)
    rows: dict[str, list[str]] = {"age": [], "mood": [], "left": [], **{name: [] for name in more}}
    for number in range(ROWS):
        mood = rng.choice(["low", "medium", "high"])
        left = "yes" if rng.random() < {"low": 0.7, "medium": 0.3, "high": 0.1}[mood] else "no"
        row = {"age": str(rng.randint(18, 64)), "mood": mood, "left": left}
        row |= {name: str(made(rng, number, left)) for name, made in more.items()}
        for name, value in row.items():
            rows[name].append(value)
    return rows


def _draft(table: dict[str, list[str]], target: str = "left", hints: Hints | None = None) -> Draft:
    hints = hints or Hints()
    source = {"kind": "file", "path": "dataset/sources/file/staff.csv"}
    return draft(read_columns(table, hints), target, source=source, hints=hints)


LEFT_OUT: dict[str, tuple[Made, str]] = {
    "ids": (lambda _, n, __: f"E{n:04}", "one value per row"),
    "customer number": (lambda rng, n, _: n * 977 + 100_003, "one value per row"),
    "count": (lambda _, n, __: n + 1, "it counts rows"),
    "uuid": (lambda rng, n, _: f"{rng.getrandbits(64):016x}", "one value per row"),
    "company": (lambda *_: "ACME", "one value only, 'ACME'"),
    "fax": (lambda *_: "", "no row has a value"),
    "told": (
        lambda _, __, left: "gone" if left == "yes" else "here",
        "tells 100% of the target by itself",
    ),
    "reason": (
        lambda rng, _, left: rng.choice(["moved", "pay"]) if left == "yes" else "",
        "tells 100% of the target by itself",
    ),
    "last_pay": (
        lambda rng, _, left: 0 if left == "yes" else rng.randint(2000, 5000),
        "tells 100% of the target by itself",
    ),
    "notes": (lambda rng, *_: " ".join(rng.sample(TEXTS, 6)), "free text"),
    "hired": (lambda rng, *_: f"{rng.randint(2010, 2023)}-05-{rng.randint(1, 28):02}", "a date"),
    "seen": (lambda rng, *_: f"{rng.randint(1, 9):02}/0{rng.randint(1, 9)}/2021", "no one reading"),
    "street": (lambda rng, *_: f"Way {rng.randint(1, 200)}", "different words: too many"),
    "since": (lambda rng, n, _: f"{1_700_000_000 + 0.37 * n:.2f}", "seven digits of float32"),
}

DECLARED: dict[str, tuple[Made, dict[str, object]]] = {
    "an amount": (
        lambda rng, n, _: f"{1200 + (n * 37) % 800}.5",
        {"type": "number", "minimum": 800, "maximum": 2400},
    ),
    "a share": (
        lambda rng, *_: f"{rng.random():.2f}",
        {"type": "number", "minimum": 0, "maximum": 1},
    ),
    "a percentage": (
        lambda rng, *_: f"{rng.randint(0, 60)} %",
        {"type": "integer", "minimum": 0, "maximum": 100, "unit": "%"},
    ),
    "a flag": (lambda rng, *_: rng.randint(0, 1), {"type": "integer", "minimum": 0, "maximum": 1}),
    "a truth": (lambda rng, *_: rng.choice(["True", "False"]), {"type": "boolean"}),
    "a temperature": (
        lambda rng, n, _: n % 41 - 20,
        {"type": "integer", "minimum": -40, "maximum": 40},
    ),
    "gaps": (
        lambda rng, n, _: "" if n % 7 == 0 else n % 5,
        {"type": "integer", "minimum": 0, "maximum": 6, "nullable": True},
    ),
    "words by frequency": (
        lambda _, n, __: "fir" if n % 6 else ("elm" if n % 4 else "ash"),
        {"type": "category", "categories": ["fir", "ash", "elm"]},
    ),
    "words of a scale": (
        lambda rng, *_: rng.choice(["Often", "Never", "Sometimes"]),
        {"type": "category", "categories": ["Never", "Sometimes", "Often"]},
    ),
    "ranges": (
        lambda rng, *_: rng.choice(["25-34", "<25", "100+", "35-99"]),
        {"type": "category", "categories": ["<25", "25-34", "35-99", "100+"]},
    ),
    "ranges and the rest": (
        lambda rng, *_: rng.choice(["2", "less than 1", "10+", "5", "no answer"]),
        {"type": "category", "categories": ["less than 1", "2", "5", "10+", "no answer"]},
    ),
    "letters": (
        lambda rng, n, _: "CBAA"[n % 4],
        {"type": "category", "categories": ["A", "B", "C"]},
    ),
    "numbers with gaps": (
        lambda rng, n, _: n + n // 3,
        {"type": "integer", "minimum": 0, "maximum": 500},
    ),
    "small shares": (
        lambda rng, n, _: f"{(n % 30 + 1) / 1000}",
        {"type": "number", "minimum": 0, "maximum": 0.05},
    ),
    "codes": (
        lambda rng, *_: rng.choice(["007", "012"]),
        {"type": "category", "categories": ["007", "012"]},
    ),
}


@pytest.fixture(scope="module")
def of_all() -> Draft:
    """A draft of a table with a column of each case, which is prepared once for all of them."""
    made = {name: case[0] for name, case in (LEFT_OUT | DECLARED).items()}
    return _draft(_table(**made))


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_column_that_makes_no_feature_is_left_out_with_its_reason(
    of_all: Draft, name: str
) -> None:
    reasons = {each.name: each.reason for each in of_all.left_out}
    assert LEFT_OUT[name][1] in reasons[name]
    assert name not in of_all.block["features"]


@pytest.mark.parametrize("name", DECLARED)
def test_a_column_that_makes_a_feature_is_declared(of_all: Draft, name: str) -> None:
    assert of_all.block["features"][name] == DECLARED[name][1]


def test_target_split_candidates_and_gate_suit_the_table(of_all: Draft) -> None:
    block = of_all.block
    assert block["target"] == {"name": "left", "task": "binary", "positive": "yes"}
    assert block["split"] == {"test": 0.2, "seed": 0}
    assert list(block["candidates"]) == ["logistic", "forest", "boosting"]
    assert block["champion"] == {"metric": "roc_auc"}
    assert block["gate"] == {"beats": "baseline", "undecided": "pass"}
    assert "after: {hired:" in of_all.comments["split",]


def test_what_may_be_an_id_is_pointed_at(of_all: Draft) -> None:
    assert of_all.comments["features", "numbers with gaps"].endswith("an id?")


def test_columns_that_say_the_same_are_one_feature() -> None:
    table = _table()
    table["mood again"] = [{"low": "sad", "medium": "so-so"}.get(m, "gay") for m in table["mood"]]
    [left_out] = _draft(table).left_out
    assert (left_out.name, left_out.reason) == ("mood again", "it says the same as 'mood'")


def test_what_repeats_and_is_named_for_it_groups_the_split() -> None:
    made = _draft(_table(**{"patient_id": lambda _, n, __: f"P{n // 6}"}))
    assert made.block["split"] == {
        "test": 0.2,
        "group": "patient_id",
        "seed": made.block["split"]["seed"],
    }
    assert made.block["source"]["columns"] == {"patient_id": "text"}


def test_what_repeats_and_shares_its_target_groups_the_split() -> None:
    table = _table()
    order = sorted(range(ROWS), key=lambda row: table["left"][row])
    places = {row: f"street {at // 5}" for at, row in enumerate(order)}
    table["place"] = [places[row] for row in range(ROWS)]
    assert _draft(table).block["split"]["group"] == "place"


def test_numbers_of_a_target_are_amounts_or_classes() -> None:
    table = _table(grade=lambda rng, *_: rng.randint(3, 8), pay=lambda rng, *_: rng.random())
    with pytest.raises(DataError, match=r"--task regression reads .*; --task multiclass reads"):
        _draft(table, "grade")
    for task, metric in (("regression", "rmse"), ("multiclass", "log_loss")):
        made = _draft(table, "grade", Hints(task=task))  # type: ignore[arg-type]
        assert made.block["champion"] == {"metric": metric}
    assert _draft(table, "pay").block["target"] == {"name": "pay", "task": "regression"}


def test_the_positive_class_is_the_one_that_says_so_or_the_rarer() -> None:
    table = _table(status=lambda rng, *_: "open" if rng.random() < 0.2 else "shut")
    assert _draft(table, "status").block["target"]["positive"] == "open"
    hints = Hints(positive="shut")
    assert _draft(table, "status", hints).block["target"]["positive"] == "shut"
    flagged = _table(flag=lambda rng, *_: 1 if rng.random() < 0.7 else 0)
    assert _draft(flagged, "flag").block["target"]["positive"] == 1


def test_a_rare_class_is_judged_by_precision() -> None:
    table = _table(fraud=lambda _, n, __: int(n % 24 == 0))
    assert _draft(table, "fraud").block["champion"] == {"metric": "average_precision"}


REFUSED: dict[str, tuple[str, Hints, str]] = {
    "a target that is misspelt": ("Lefd", Hints(), "is it 'left'?"),
    "a target of one value": ("company", Hints(), "nothing to learn"),
    "a target of dates": ("hired", Hints(), "dates or times"),
    "a target of texts": ("notes", Hints(), "too many for classes"),
    "a class that is none": ("left", Hints(positive="ja"), "choose from 'no', 'yes'"),
    "amounts of words": ("mood", Hints(task="regression"), "holds words"),
    "two of three classes": ("mood", Hints(task="binary"), "has 3 classes"),
    "no such column": ("left", Hints(leave_out=("agee",)), "--leave-out 'agee'"),
    "spellings of one class": ("answer", Hints(), "--fold-case 'answer' makes them one"),
    "nothing to learn from": (
        "left",
        Hints(leave_out=("age", "mood", "company", "hired", "notes", "answer")),
        "no column is left to learn from",
    ),
}


@pytest.mark.parametrize(("target", "hints", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_learnt_is_refused(target: str, hints: Hints, said: str) -> None:
    made = {name: LEFT_OUT[name][0] for name in ("company", "hired", "notes")}
    table = _table(**made, answer=lambda rng, *_: rng.choice(["Yes", "yes", "No"]))
    with pytest.raises(DataError) as refusal:
        _draft(table, target, hints)
    assert said in str(refusal.value)


def test_a_table_without_a_header_is_said_to_lack_one() -> None:
    with pytest.raises(DataError, match="does the file lack a first line"):
        _draft({"38": ["39", "40"], "yes": ["no", "yes"]}, "left")


def test_the_coarser_of_two_groups_splits() -> None:
    table = _table(
        **{"InvoiceNo": lambda _, n, __: n // 3, "customer_id": lambda _, n, __: f"C{n // 12}"}
    )
    made = _draft(table)
    assert made.block["split"]["group"] == "customer_id"
    assert [each.name for each in made.left_out] == ["InvoiceNo"]
