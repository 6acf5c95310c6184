"""A declared name → the object behind it, or the reason why there is none."""

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest

from tests.checkout import ROOT
from treeline.errors import MissingExtraError, UnknownNameError
from treeline.registry import driver_fault, load_class, objection, resolve, way_out

TABLE = {
    "ordered": "collections:OrderedDict",
    "forest": "no_such_engine.forest:Trainer",
    "broken": "treeline.no_such_module:Thing",
}


def test_a_name_of_the_table_is_the_object_it_names() -> None:
    assert resolve(TABLE, "ordered", place="here") is OrderedDict


def test_an_unknown_name_is_told_with_its_place_and_those_known() -> None:
    with pytest.raises(UnknownNameError) as error:
        resolve(TABLE, "orderedly", place="models.iris.trainer")
    assert str(error.value) == (
        "models.iris.trainer: 'orderedly' is not known; choose from ['broken', 'forest', 'ordered']"
    )


@pytest.mark.parametrize(
    ("extra", "task"),
    [
        (None, "make setup"),
        ("train", "make setup"),
        ("sql", "make setup-lab"),
        ("spark", "make setup-engines"),
        ("h2o", "make setup-engines (in an image: RUNTIME=h2o)"),
        ("images", "make setup-full (in an image: RUNTIME=full)"),
    ],
)
def test_an_engine_that_is_not_installed_is_told_with_its_command(
    extra: str | None, task: str
) -> None:
    with pytest.raises(MissingExtraError) as error:
        resolve(TABLE, "forest", place="models.iris.trainer", extra=extra)
    assert str(error.value) == (
        f"models.iris.trainer: 'forest' needs the package 'no_such_engine'; install it with: {task}"
    )


def test_no_message_and_no_page_installs_a_copy_over_the_checkout() -> None:
    pages = [*ROOT.glob("docs/*.md"), ROOT / "README.md"]
    code = [path for top in ("src", "api", "deploy") for path in (ROOT / top).rglob("*.py")]
    held = [path for path in [*pages, *code] if "pip install '." in path.read_text("utf-8")]
    assert held == []


def test_a_module_of_ours_that_is_missing_is_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"treeline\.no_such_module"):
        resolve(TABLE, "broken", place="here")


def test_a_class_is_found_by_its_import_path() -> None:
    assert load_class("collections.OrderedDict", place="here") is OrderedDict


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("collections.OrderedDic", "cannot be imported (module 'collections' has no attribute"),
        ("no_such_package.Thing", "cannot be imported (No module named 'no_such_package')"),
        ("OrderedDict", "cannot be imported ("),
        ("", "cannot be imported ("),
        (".Thing", "cannot be imported ("),
        ("collections.namedtuple", "is not a class; give the dotted path of one"),
    ],
    ids=["misspelt", "not installed", "no module", "nothing", "relative", "a function"],
)
def test_what_is_no_class_is_told_with_its_place(path: str, told: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        load_class(path, place="models.iris.candidates.forest.estimator")
    assert str(error.value).startswith("models.iris.candidates.forest.estimator: ")
    assert f"{path!r} {told}" in str(error.value)


@pytest.mark.parametrize(
    "path",
    [
        "collections.OrderedDict",
        "sklearn.linear_model.Ridge",
        "xgboost.XGBClassifier",
        "treeline.trainers.preprocessors.DropColumns",
        "own.scaling.Log",
        "no_such_package.Thing",
        "OrderedDict",
        "",
    ],
)
def test_a_class_may_come_from_a_library_from_here_or_from_the_folder_for_it(path: str) -> None:
    assert objection(path) is None


@pytest.mark.parametrize("kind", ["a module", "a package", "a namespace"])
def test_a_class_from_elsewhere_is_refused_with_the_place_to_move_it_to(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    if kind == "a module":
        (tmp_path / "scaling.py").write_text("class Log: ...")
    else:
        (tmp_path / "scaling").mkdir()
        (tmp_path / "scaling" / ("__init__.py" if kind == "a package" else "log.py")).touch()
    reason = objection("scaling.Log")
    assert reason is not None and str(tmp_path / "scaling") in reason
    assert "move its module into src/own and name it own.<module>.<class>" in reason


def test_a_package_of_the_same_name_elsewhere_does_not_pass_for_the_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    code = "from treeline.registry import objection; print(objection('own.scaling.Log'))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path / "own") in told.stdout


def test_a_part_of_this_package_that_training_does_not_follow_has_no_classes_to_declare() -> None:
    assert "is no class of treeline.trainers" in str(objection("treeline.plots.charts.Chart"))


@pytest.mark.parametrize(
    ("scheme", "fault"),
    [
        ("postgresql", None),
        ("postgresql+psycopg", None),
        ("mysql+pymysql", None),
        ("sqlite", None),
        ("https", None),
        (
            "postgresql+psycopg2",
            "the driver 'psycopg2' is not installed; write postgresql+psycopg:// in the place of "
            "postgresql+psycopg2:// and the rest stays",
        ),
        (
            "postgresql+no.such",
            "the driver 'no.such' is not installed; write postgresql+psycopg://",
        ),
        ("postgres", "'postgres' is no database; write postgresql+psycopg:// in the place"),
        ("postgres+psycopg2", "'postgres' is no database; write postgresql+psycopg:// in"),
        ("mysql", "the driver 'mysqldb' is not installed; write mysql+pymysql:// in the place of"),
        ("mariadb+mysqldb", "the driver 'mysqldb' is not installed; write mariadb+pymysql://"),
    ],
)
def test_a_driver_that_is_not_here_is_told_with_what_to_write(
    scheme: str, fault: str | None
) -> None:
    pytest.importorskip("psycopg", reason="needs psycopg: make setup-lab")
    pytest.importorskip("pymysql", reason="needs pymysql: make setup-lab")
    found = driver_fault(f"{scheme}://writer:hunter2@127.0.0.1:9/mlflow")
    if fault is None:
        assert found is None
    else:
        assert found is not None and found.startswith(fault) and "hunter2" not in found


@pytest.mark.parametrize(
    ("extra", "here", "of_models"),
    [
        ("sql", "make setup-lab", "treeline upgrade --with lab && make setup"),
        ("spark", "make setup-engines", "treeline upgrade --with engines && make setup"),
        ("images", "make setup-full (in an image: RUNTIME=full)", "treeline upgrade --with full"),
        ("train", "make setup", "make setup"),
    ],
)
def test_the_way_to_an_extra_is_that_of_the_repository_at_hand(
    extra: str, here: str, of_models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert way_out(extra) == f"install it with: {here}"
    (tmp_path / "treeline.toml").touch()
    assert way_out(extra).startswith(f"install it with: {of_models}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "class Growth:\n    def fit(self\n",
            r"SyntaxError: .*\.py, line 2\)\); correct the module",
        ),
        ("raise OSError('no such device')", r"OSError: no such device\); correct the module"),
    ],
)
def test_a_module_that_python_cannot_import_is_named_with_its_reason(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"unread_{len(text)}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownNameError, match=said):
        load_class(f"{name}.Growth", place="here")
