"""Publishing: data in the remote first, then the commit, then the release; or nothing at all."""

import base64
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.checkout import ROOT
from tests.delivery.forge import Forge, behind_password
from treeline.delivery.publishing import INPUTS, message_of, publish
from treeline.delivery.releasing import OUTPUTS, SHIPPED
from treeline.errors import PublishingError, StorageError

TOKEN = "ghs_7f3cTheTokenOfTheRun"
PROTECTED = """\
#!/bin/sh
while read old new ref; do
    case "$ref" in refs/heads/main)
        echo "error: GH006: Protected branch update failed for refs/heads/main." >&2; exit 1;;
    esac
done
"""


def hook(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def subjects(forge: Forge, branch: str = "main") -> list[str]:
    return forge.ask("log", "--format=%s", branch).splitlines()


def test_what_was_trained_is_stored_committed_and_released(trained: Forge) -> None:
    tested = trained.tip()
    published = publish(reason="for a test")
    assert (published.changed, published.released, published.note) == (True, True, "")
    assert published.commit == trained.tip()
    assert trained.ask("rev-parse", "main^") == tested
    assert trained.stored() == ["flowers 1", "sugar 2"]
    assert trained.released() == {
        "commit": published.commit,
        "models": {"flowers": "flowers-1", "sugar": "sugar-2"},
    }
    assert trained.clone.run("git", "status", "--porcelain").stdout == ""


def test_a_persons_commit_is_their_own_starts_a_run_and_holds_nothing_but_outputs(
    trained: Forge,
) -> None:
    (trained.clone.root / "README.md").write_text("Half a thought\n")
    (trained.clone.root / "notes.txt").write_text("More of it\n")
    publish(reason="")
    told = trained.ask("log", "-1", "--format=%an, %cn: %B", "main")
    assert told == "A person, A person: Train sugar"
    files = trained.ask("show", "--name-only", "--format=", "main").split()
    assert files == ["dvc.lock", "model/sugar/signature.json"]


def test_in_github_actions_the_bot_commits_says_which_models_and_why_and_starts_no_run(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_RUN_ID", "4711")
    publish(reason="the source\nhas new rows\n\n[forged] line")
    assert trained.ask("log", "-1", "--format=%B", "main") == (
        "Train sugar [skip ci]\n\nReason: the source has new rows [forged] line\nRun: 4711"
    )
    bot = "github-actions[bot] github-actions[bot]"
    for branch in ("main", "released"):
        assert trained.ask("log", "-1", "--format=%an %cn", branch) == bot


@pytest.mark.usefixtures("unreachable")
def test_nothing_is_committed_when_the_remote_cannot_be_reached(trained: Forge) -> None:
    before = trained.tip()
    with pytest.raises(StorageError, match=r"`shared` cannot be pushed to: .*127\.0\.0\.1:9"):
        publish(reason="")
    assert trained.tip() == before == trained.clone.run("git", "rev-parse", "HEAD").stdout.strip()
    assert trained.branches() == ["main"]


def test_the_data_are_in_the_remote_before_the_commit_is_in_git(trained: Forge) -> None:
    seen = trained.root / "seen"
    hook(
        trained.origin / "hooks/pre-receive",
        f'#!/bin/sh\ncat "{trained.remote}"/*/*/*/* > "{seen}"\n',
    )
    publish(reason="")
    assert "sugar 2" in seen.read_text()


def test_an_output_that_is_nowhere_is_told_and_nothing_is_committed(trained: Forge) -> None:
    before = trained.tip()
    trained.clone.run("rm", "-rf", ".dvc/cache", "model/flowers/artifact")
    with pytest.raises(StorageError, match="lacks model/flowers/artifact"):
        publish(reason="")
    assert trained.tip() == before


def test_without_a_shared_remote_nothing_is_written_back(trained: Forge) -> None:
    (trained.clone.root / ".dvc/config.local").unlink()
    before = trained.tip()
    published = publish(reason="")
    assert published.commit is None and not published.changed and not published.released
    assert "docs/workflows.md" in published.note
    assert trained.tip() == before


def test_models_that_did_not_change_are_released_when_nothing_was(forge: Forge) -> None:
    before = forge.tip()
    published = publish(reason="")
    assert (published.commit, published.changed, published.released) == (before, False, True)
    assert forge.tip() == before == forge.released()["commit"]


def test_what_is_released_already_is_not_released_again(forge: Forge) -> None:
    publish(reason="")
    forge.clone.run("git", "fetch", "--quiet", "origin")
    again = publish(reason="")
    assert not again.changed and not again.released
    assert "nothing to deploy" in again.note
    assert len(subjects(forge, "released")) == 1


def test_a_readme_pushed_meanwhile_stays_and_its_own_run_deploys(trained: Forge) -> None:
    theirs = trained.somebody_pushes("README.md", "A forest, described\n")
    published = publish(reason="")
    assert published.commit == trained.tip()
    assert trained.ask("rev-parse", "main^") == theirs
    assert published.changed and not published.released
    assert "moved on" in published.note
    assert trained.branches() == ["main"]


def test_params_pushed_meanwhile_leave_everything_to_their_own_run(trained: Forge) -> None:
    theirs = trained.somebody_pushes("params.yaml", "flowers: 7\nsugar: 2\n")
    published = publish(reason="")
    assert published.commit is None and not published.changed and not published.released
    assert theirs[:12] in published.note and "Its own run trains" in published.note
    assert trained.tip() == theirs


def test_the_same_models_pushed_meanwhile_need_no_second_commit(trained: Forge) -> None:
    changed = ("dvc.lock", "model/sugar/signature.json")
    for name in changed:
        text = (trained.clone.root / name).read_text()
        theirs = trained.somebody_pushes(name, text)
    published = publish(reason="")
    assert (published.commit, published.changed, published.released) == (theirs, False, True)
    assert trained.tip() == theirs == trained.released()["commit"]


def test_other_models_pushed_meanwhile_are_told_and_no_rebase_is_left_half_done(
    trained: Forge,
) -> None:
    lock = (trained.clone.root / "dvc.lock").read_text()
    theirs = trained.somebody_pushes("dvc.lock", re.sub("md5: [0-9a-f]{8}", "md5: 00000000", lock))
    with pytest.raises(PublishingError, match=f"{theirs[:12]}.*Run the training again"):
        publish(reason="")
    assert trained.tip() == theirs
    state = trained.clone.run("git", "status").stdout
    assert "rebase" not in state and "On branch main" in state


def test_a_protected_main_is_told_with_the_page_that_helps(trained: Forge) -> None:
    before = trained.tip()
    hook(trained.origin / "hooks/pre-receive", PROTECTED)
    with pytest.raises(PublishingError) as told:
        publish(reason="")
    assert "docs/workflows.md, `Protected branches`" in str(told.value)
    assert "GH006" in str(told.value)
    assert trained.tip() == before
    assert trained.branches() == ["main"], "the release went without its commit"


def test_a_push_refused_for_another_reason_is_told_at_once(trained: Forge) -> None:
    hook(trained.origin / "hooks/pre-receive", "#!/bin/sh\necho 'the disk is full' >&2; exit 1\n")
    with pytest.raises(PublishingError, match=r"(?s)to main was refused.*the disk is full"):
        publish(reason="")


def racing(forge: Forge, *, times: int) -> None:
    """Let somebody push a README just before each of the next pushes of the clone arrives."""
    hook(
        forge.clone.root / ".git/hooks/pre-push",
        f"""#!/bin/sh
        cd "{forge.other.root}"
        unset $(git rev-parse --local-env-vars)
        git pull --quiet --rebase origin main
        [ "$(wc -l < README.md)" -gt {times} ] && exit 0
        echo 'one line more' >> README.md
        git commit --quiet --all --message 'One line more' && git push --quiet origin main
        """,
    )


def test_four_lost_races_are_made_up_for(trained: Forge) -> None:
    racing(trained, times=4)
    assert publish(reason="").changed
    assert subjects(trained)[:5] == ["Train sugar"] + ["One line more"] * 4


def test_five_lost_races_are_the_end(trained: Forge) -> None:
    racing(trained, times=99)
    with pytest.raises(PublishingError, match="main moved on during each of 5 pushes"):
        publish(reason="")
    assert subjects(trained)[:6] == ["One line more"] * 5 + ["Declare sugar"]
    assert trained.branches() == ["main"]


def test_on_another_branch_the_models_are_committed_and_nothing_is_released(forge: Forge) -> None:
    forge.clone.run("git", "checkout", "--quiet", "-b", "attempt")
    forge.declare("sugar", 3)
    forge.train()
    before = forge.tip()
    published = publish(reason="")
    assert published.changed and not published.released
    assert "Nothing is deployed from attempt" in published.note
    assert published.commit == forge.tip("attempt")
    assert forge.tip() == before
    assert sorted(forge.branches()) == ["attempt", "main"]


def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Put a `git` before the real one that writes its command lines down."""
    folder.mkdir()
    lines = folder / "lines"
    real = shutil.which("git")
    hook(folder / "git", f'#!/bin/sh\necho "git $@" >> "{lines}"\nexec "{real}" "$@"\n')
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return lines.read_text


def test_the_runs_token_pushes_and_stands_on_no_command_line_and_in_no_file(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    commands = recorded(trained.root / "bin", monkeypatch)
    trained.clone.run("git", "remote", "set-url", "origin", "https://nowhere.invalid/")
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_REPOSITORY", "origin.git")
    with behind_password(trained.root, f"basic {secret}") as address:
        monkeypatch.setenv("GITHUB_SERVER_URL", address)
        trained.somebody_pushes("README.md", "A forest, described\n")
        assert publish(reason="").commit == trained.tip()
    assert f"{address}/origin.git" in commands()
    files = [path for path in trained.root.rglob("*") if path.is_file()]
    held = b"\n".join(path.read_bytes() for path in files)
    for word in (TOKEN, secret):
        assert word not in commands()
        assert word.encode() not in held


def test_a_token_that_is_refused_is_not_told(
    trained: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_REPOSITORY", "origin.git")
    with behind_password(trained.root, "basic another") as address:
        monkeypatch.setenv("GITHUB_SERVER_URL", address)
        with pytest.raises(PublishingError) as told:
            publish(reason="")
    assert address in str(told.value)
    assert TOKEN not in str(told.value)
    assert base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode() not in str(told.value)


def within(path: str, covering: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in covering)


def stages() -> list[dict[str, Any]]:
    """Return the stages of dvc.yaml, those of each model as one."""
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"].values()
    return [stage.get("do", stage) for stage in declared]


def test_the_inputs_cover_every_dependency_that_is_in_git() -> None:
    """Whoever changes one of them meanwhile has models of their own to train."""
    dependencies = {each for stage in stages() for each in stage["deps"]}
    made = (
        *(f"{folder}/${{key}}/" for folder in ("dataset", "model")),
        "model/code.json",
        "model/inputs/",
    )
    in_git = {each for each in dependencies if not each.startswith(made)}
    assert in_git >= {"src/treeline", "src/own", "requirements/train.txt"}
    assert {each for each in in_git if not within(each, INPUTS)} == set()
    assert {"dvc.yaml", "params.yaml"} <= set(INPUTS)


def test_what_training_writes_is_covered_by_the_outputs() -> None:
    kinds = ("outs", "metrics", "plots")
    written = [each for stage in stages() for kind in kinds for each in stage.get(kind, [])]
    paths = {path for each in written for path in ([each] if isinstance(each, str) else each)}
    assert len(paths) > 15
    assert {path for path in paths if not within(path, OUTPUTS)} == set()
    assert "dvc.lock" in OUTPUTS


def test_shipped_covers_everything_that_the_dockerfile_copies() -> None:
    """A signature holds the digests of its model's artifact, so it stands for the model."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    copied = {path for words in copies if not words[0].startswith("--from") for path in words}
    locks = {f"requirements/{kind}.txt" for kind in ("serve", "pickle")}
    expected = (copied - {"requirements/${RUNTIME}.txt", "src", "model"}) | locks
    assert copied >= {"src", "model", "requirements/${RUNTIME}.txt"}
    assert {path for path in expected if not within(path, SHIPPED)} == set()
    assert {"Dockerfile", ".dockerignore", "src/own", "src/treeline"} <= set(SHIPPED)
    assert ":(glob)model/*/signature.json" in SHIPPED
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert {path for path in let_through if path.startswith("src/")} == {
        "src/own",
        "src/treeline",
    }


@pytest.mark.parametrize(
    ("files", "subject"),
    [
        (["model/sugar/report.md", "dataset/flowers/summary.json"], "Train flowers, sugar"),
        (["model/inputs/sugar/train.json", "model/sugar/report.md", "dvc.lock"], "Train sugar"),
        (["model/code.json", "dvc.lock"], "Train again"),
    ],
)
def test_a_commit_names_the_models_whose_files_it_has(files: list[str], subject: str) -> None:
    assert message_of(files, reason="").splitlines()[0].removesuffix(" [skip ci]") == subject
