"""A table becomes a model by one command, which the pipeline then runs."""

from pathlib import Path

from tests.checkout import PARAMS, Checkout

ADD = ("-m", "treeline", "add")


def test_a_table_is_stored_declared_and_prepared(fresh: Checkout, tmp_path: Path) -> None:
    rows = [
        f"{n};{n * 7 % 31},5;{'ab'[n % 2]};{'yes' if n * 5 % 7 < 3 else 'no'}" for n in range(90)
    ]
    table = tmp_path / "Staff.csv"
    table.write_text("\n".join(["id;pay;team;left", *rows]), encoding="utf-8")

    fresh.python(*ADD, str(table), "--target", "left", "--dry-run")
    assert fresh.run("git", "status", "--porcelain").stdout == ""

    done = fresh.python(*ADD, str(table), "--target", "left")
    assert "left out: id: one value per row" in done.stderr
    assert "staff is declared in params.yaml" in done.stdout
    assert (fresh.root / "params.yaml").read_text(encoding="utf-8").startswith(PARAMS.rstrip())
    stored = fresh.root / "dataset/sources/file/staff.csv"
    assert stored.read_text(encoding="utf-8").splitlines()[:2] == [
        "id,pay,team,left",
        "0,0.5,a,yes",
    ]
    assert stored.with_name("staff.csv.dvc").is_file()
    fresh.run("dvc", "repro", "prepare@staff")
    assert (fresh.root / "dataset/staff/test.parquet").is_file()
