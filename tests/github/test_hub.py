"""Workflows of a few lines on the fake GitHub: what runs, with what, and what follows."""

import time
from pathlib import Path

import pytest

from tests.github.evaluator import lacking
from tests.github.events import DEPENDABOT
from tests.github.hub import GitHub
from tests.github.run import Run
from tests.github.settings import PERSONAL, Environment, Rule, Settings
from tests.github.toys import Toy, toy

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

CHECKOUT = "- uses: actions/checkout@v7\n        with: {fetch-depth: 0, persist-credentials: false}"


def job(*lines: str, name: str = "work", head: str = "") -> str:
    """Return a job whose steps run these lines."""
    steps = "".join(
        f"\n      - run: {line}" if line[0] != "-" else f"\n      {line}" for line in lines
    )
    more = f"\n    {head}" if head else ""
    return f"  {name}:\n    runs-on: ubuntu-24.04{more}\n    steps:{steps}\n"


def workflow(*jobs: str, on: str = "push", more: str = "") -> str:
    return f"name: Work\non: {on}\npermissions: {{contents: write}}\n{more}jobs:\n" + "".join(jobs)


def made(root: Path, text: str, **settings: object) -> tuple[Toy, GitHub]:
    work, github = toy(root, Settings(**settings))  # type: ignore[arg-type]
    work.commit("Begin", work=text)
    return work, github


def run(github: GitHub) -> Run:
    [done] = github.deliver(github.pushed("main"))
    return done


def test_steps_share_a_workspace_and_hand_on_outputs(tmp_path: Path) -> None:
    text = workflow(
        job('echo "x=1" >>"$GITHUB_OUTPUT"', 'echo "# Page" >>"$GITHUB_STEP_SUMMARY"',
            head="outputs: {x: '${{ github.event_name }}'}"),
        job("echo got ${{ needs.work.outputs.x }}", name="after", head="needs: work"),
    )  # fmt: skip
    done = run(made(tmp_path, text)[1])
    assert done.conclusion == "success" and "got push" in done.log
    assert done.summary.strip() == "# Page"


def test_a_step_that_fails_ends_the_job_and_those_that_need_it(tmp_path: Path) -> None:
    text = workflow(job("exit 3", "echo later"), job("echo no", name="after", head="needs: work"))
    done = run(made(tmp_path, text)[1])
    assert [done.jobs[name]["result"] for name in ("work", "after")] == ["failure", "skipped"]
    assert "exit code 3" in done.log and done.step("echo later") == "skipped"


def test_jobs_run_at_the_same_time_unless_one_needs_the_other(tmp_path: Path) -> None:
    wait = "for i in $(seq 100); do [ -e {there} ] && exit 0; sleep 0.1; done; exit 1"
    one, two = tmp_path / "one", tmp_path / "two"
    text = workflow(
        job(f"touch {one}", wait.format(there=two), name="one"),
        job(f"touch {two}", wait.format(there=one), name="two"),
    )
    assert run(made(tmp_path / "toy", text)[1]).conclusion == "success"


def test_a_workflow_that_is_not_valid_does_not_start(tmp_path: Path) -> None:
    text = workflow(job("true", head="if: secrets.TOKEN != ''"))
    done = run(made(tmp_path, text)[1])
    assert done.conclusion == "startup_failure" and "secrets" in done.log


def test_secrets_are_masked_and_environments_add_theirs(tmp_path: Path) -> None:
    text = workflow(job("echo ${{ secrets.A }} ${{ secrets.B }} ${{ vars.C }}",
                        head="environment: production"))  # fmt: skip
    place = Environment(secrets={"B": "of-place"}, variables={"C": "variable"})
    _, github = made(tmp_path, text, secrets={"A": "hidden"}, environments={"production": place})
    done = run(github)
    assert "*** of-place variable" in done.log
    [deployment] = github.store.deployments
    assert deployment["environment"] == "production" and not github.store.approvals


@pytest.mark.parametrize(("review", "result"), [("approve", "success"), ("reject", "failure")])
def test_reviewers_are_asked_before_a_job_of_an_environment(
    tmp_path: Path, review: str, result: str
) -> None:
    text = workflow(job("echo in", head="environment: production"))
    place = Environment(review=review)  # type: ignore[arg-type]
    _, github = made(tmp_path, text, environments={"production": place})
    assert run(github).conclusion == result
    assert len(github.store.approvals) == 1
    assert len(github.store.deployments) == int(result == "success")


def test_an_environment_admits_its_branches_only(tmp_path: Path) -> None:
    text = workflow(job("echo in", head="environment: production"))
    place = Environment(branches=("release/*",))
    done = run(made(tmp_path, text, environments={"production": place})[1])
    assert done.conclusion == "failure" and "not allowed to deploy" in done.log


def test_a_fork_gets_no_secrets_and_dependabot_its_own(tmp_path: Path) -> None:
    text = workflow(job("echo secret '${{ secrets.A }}'"), on="pull_request")
    stores = {"secrets": {"A": "first"}, "dependabot_secrets": {"A": "second"}}
    work, github = made(tmp_path, text, **stores)
    work.commit("Change", branch="change")
    seen = []
    for fork, actor in ((False, "octocat"), (True, "octocat"), (False, DEPENDABOT)):
        [done] = github.deliver(github.pull_request("change", fork=fork, actor=actor))
        seen.append(next(line for line in done.log.splitlines() if "| secret" in line)[15:])
    assert seen == ["***", "", "second"]


def test_a_called_workflow_is_given_what_is_named_and_no_more_rights(tmp_path: Path) -> None:
    inner = workflow(job("echo has '${{ secrets.A }}' ${{ inputs.why }}"), more="").replace(
        "on: push", "on: {workflow_call: {inputs: {why: {type: string}}, secrets: {A: {}}}}"
    )
    call = (
        "  call:\n    uses: ./.github/workflows/inner.yml\n    with: {why: because}\n"
        "    secrets: {A: '${{ secrets.A }}'}\n    permissions: {contents: LEVEL}\n"
    )
    work, github = toy(tmp_path, Settings(secrets={"A": "hidden"}))
    work.commit("Begin", work=workflow(call.replace("LEVEL", "write")), inner=inner)
    assert "has *** because" in run(github).log
    work.commit("Grant less", work=workflow(call.replace("LEVEL", "read")))
    assert "is only allowed 'contents: read'" in run(github).log


def test_the_token_of_a_job_pushes_and_starts_nothing_and_another_token_does(
    tmp_path: Path,
) -> None:
    push = (
        "git -c user.name=b -c user.email=b@b commit -q --allow-empty -m $(date +%N) "
        "&& git push -qf https://x:$TOKEN@github.com/acme/toy HEAD:refs/heads/other"
    )
    step = f"- run: {push}\n        if: github.ref_name == 'main'"
    text = workflow(job(CHECKOUT, step, head="env: {TOKEN: '${{ secrets.T || github.token }}'}"))
    _, github = made(tmp_path, text)
    assert len(github.deliver(github.pushed("main"), chain=True)) == 1
    assert [row["kind"] for row in github.store.pushes] == ["GITHUB_TOKEN"]
    github.settings.secrets["T"] = "personal"
    github.settings.tokens["personal"] = PERSONAL
    later = github.deliver(github.pushed("main"), chain=True)
    assert github.store.pushes[1]["kind"] == "PAT" and len(later) == 2


@pytest.mark.parametrize(("kind", "code"), [("protection", "GH006"), ("ruleset", "GH013")])
def test_a_rule_refuses_the_push_in_the_words_of_its_kind(
    tmp_path: Path, kind: str, code: str
) -> None:
    push = "git push https://x:${{ github.token }}@github.com/acme/toy HEAD:main HEAD:other"
    text = workflow(job(CHECKOUT, push))
    rules = (Rule("main", kind),)  # type: ignore[arg-type]
    work, github = made(tmp_path, text, rules=rules)
    work.commit("More")
    commit = "git -c user.name=b -c user.email=b@b commit -q --allow-empty -m Bot"
    work.commit("Push", work=workflow(job(CHECKOUT, commit, push)))
    done = run(github)
    assert done.conclusion == "failure" and code in done.log
    assert not github.store.pushes


def test_a_token_without_the_right_may_not_push(tmp_path: Path) -> None:
    push = "git push https://x:${{ github.token }}@github.com/acme/toy HEAD:other"
    text = workflow(job(CHECKOUT, push)).replace("contents: write", "contents: read")
    done = run(made(tmp_path, text)[1])
    assert done.conclusion == "failure" and "403" in done.log


def test_runs_of_a_group_wait_for_each_other(tmp_path: Path) -> None:
    text = workflow(job(f"echo begin >>{tmp_path}/log; sleep 0.3; echo end >>{tmp_path}/log"),
                    more="concurrency: {group: one, queue: max}\n")  # fmt: skip
    _, github = made(tmp_path / "toy", text)
    event = github.pushed("main")
    done = github.together([("work.yml", event)] * 3)
    assert [each.conclusion for each in done] == ["success"] * 3
    assert (tmp_path / "log").read_text().split() == ["begin", "end"] * 3


def test_of_three_runs_of_a_group_without_a_queue_one_is_cancelled(tmp_path: Path) -> None:
    text = workflow(job("sleep 2"), more="concurrency: one\n")
    _, github = made(tmp_path, text)
    begun = time.monotonic()
    done = github.together([("work.yml", github.pushed("main"))] * 3)
    assert sorted(each.conclusion for each in done) == ["cancelled", "success", "success"]
    assert time.monotonic() - begun > 4


def test_a_merge_queue_pushes_a_branch_and_asks_for_checks(tmp_path: Path) -> None:
    on = "{push: {branches-ignore: ['gh-readonly-queue/**']}, merge_group: {branches: [main]}}"
    work, github = made(
        tmp_path, workflow(job("echo ${{ github.event.merge_group.base_ref }}"), on=on)
    )
    work.commit("Change", branch="change")
    push, group = github.queued("change")
    assert (github.started_by(push), github.started_by(group)) == ([], ["work.yml"])
    assert "refs/heads/main" in github.deliver(group)[0].log
    assert github.started_by(github.pushed("change")) == ["work.yml"]


def test_other_hosts_are_not_reached(tmp_path: Path) -> None:
    text = workflow(job("curl --silent --show-error --max-time 5 https://example.org/"))
    _, github = made(tmp_path, text)
    assert run(github).conclusion == "failure"
    assert github.store.requests[-1]["result"] == "refused"


def test_an_action_of_the_repository_runs_its_steps_with_its_inputs(tmp_path: Path) -> None:
    work, github = toy(tmp_path)
    folder = work.clone / ".github" / "actions" / "greet"
    folder.mkdir(parents=True)
    (folder / "action.yml").write_text(
        "name: Greet\ninputs: {who: {default: nobody}}\nruns:\n  using: composite\n  steps:\n"
        '    - run: echo "WHO=$WHO" >>"$GITHUB_ENV"\n      shell: bash\n'
        "      env: {WHO: '${{ inputs.who }}'}\n"
    )
    greet = "- uses: ./.github/actions/greet\n        with: {who: you}"
    work.commit("Begin", work=workflow(job(CHECKOUT, greet, "echo hello $WHO")))
    assert "hello you" in run(github).log
