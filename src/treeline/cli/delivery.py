"""Subcommands for what the workflows do: fetch, train, publish, ship, deploy.

A subcommand imports what it runs when it runs, so that help and completion start at once.
"""

import sys
from collections import Counter
from pathlib import Path

import click

from treeline.cli.options import (
    Moment,
    as_json,
    example,
    of_log,
    to_json,
    usual_secret,
    with_secret,
    working,
)

FOLDER = Path("build/release")

of_folder = click.argument("folder", type=click.Path(path_type=Path), default=FOLDER)


@click.command(epilog=example("treeline pull"))
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
def pull(targets: tuple[str, ...]) -> str:
    """Fetch data and models from the shared remote.

    All of them, or each TARGET of DVC. What the remote lacks is named, and made anew by the next
    training.
    """
    from treeline.commands.pull import pull as command

    return command(targets)


@click.command(epilog=example("treeline stale --json"))
@as_json
def stale(as_json: bool) -> str:
    """Ask every source again and say whether a training is due.

    The reasons are printed, and DUE is handed to the next step of the workflow. Nothing is decided
    by time: a run that the schedule lost is made up for by the next one.
    """
    from treeline.commands.stale import reasons_to_train

    with working(as_json=as_json):
        reasons = reasons_to_train()
    if as_json:
        return to_json({"due": bool(reasons), "reasons": reasons})
    return "\n".join(reasons)


@click.command(epilog=example("treeline retrain --recollect iris"))
@click.option("--force", is_flag=True, help="Run every stage, changed or not.")
@click.option("--recollect", is_flag=True, help="Ask every source again first.")
@click.option("--go-on", is_flag=True, help="End well where one model failed: outcome says so.")
@click.argument("model", required=False)
def retrain(model: str | None, force: bool, recollect: bool, go_on: bool) -> int:
    """Train MODEL, or all, and note what fails for the report.

    A model that the gate refused before with the same inputs is left out, unless by force. Ends
    with exit code 1 when a stage failed or the gate refused a model.
    """
    from treeline.commands.retrain import retrain as command

    training = command(model, force=force, ask_sources=recollect)
    for failure in training.failures:
        print(f"{failure.stage} {failure.model}: {failure.reason}".lstrip(": "), file=sys.stderr)
    return 1 if training.broken or (training.failures and not go_on) else 0


@click.command(epilog=example("REASON='new rows' treeline publish"))
@click.option("--reason", envvar="REASON", default="", help="Why, for the commit [REASON].")
def publish(reason: str) -> None:
    """Store what was trained, commit it, push it, release it.

    In that order, so that no commit points to data that the remote does not have. A model that was
    refused or failed stays as it was released last; one that is declared no more is removed. When
    somebody has changed what is trained from meanwhile, everything stays as it is.
    """
    from treeline.commands.publish import publish as command

    command(reason=reason)


@click.command(epilog=example("treeline report"))
def report() -> None:
    """Write what the training did to build/run/report.md.

    In a workflow it is on the page of the run too.
    """
    from treeline.commands.report import write_report

    write_report()


@click.command(epilog=example("treeline propose --branch retrain/2026-11-27"))
@click.option("--branch", envvar="BRANCH", required=True, help="What is to be merged [BRANCH].")
@click.option("--dispatch", envvar="DISPATCH", default="", help="Workflow to start [DISPATCH].")
def propose(branch: str, dispatch: str) -> str:
    """Open the pull request of a branch, or bring it up to date.

    The report of the run is its text. It is merged by itself once its checks have passed, where the
    repository allows that. DISPATCH is the workflow of its checks, where nothing else starts them.
    """
    from treeline.commands.propose import propose as command

    return command(branch, dispatch=dispatch)


@click.command(epilog=example("treeline notify --outcome failure"))
@click.option("--outcome", envvar="OUTCOME", required=True, help="success or failure [OUTCOME].")
@click.option("--webhook", envvar="NOTIFY_WEBHOOK", default="", help="[NOTIFY_WEBHOOK]")
def notify(outcome: str, webhook: str) -> str:
    """Tell of a scheduled training that failed, by one issue.

    It is closed when all is well again. The webhook is posted to besides, when something has
    changed.
    """
    from treeline.commands.notify import notify as command

    return command(failed=outcome != "success", webhook=webhook)


@click.command(epilog=example("treeline outcome"))
def outcome() -> int:
    """End with exit code 1 when a person must look at the training.

    That is when a model was refused or failed, and it was not told before with the same inputs.
    """
    from treeline.commands.report import is_alarming

    return int(is_alarming())


@click.command(epilog=example("treeline comment --pull-request 7"))
@click.option("--commit", metavar="SHA", help="The commit to comment on.")
@click.option("--pull-request", metavar="NUMBER", help="The pull request to comment on.")
def comment(commit: str | None, pull_request: str | None) -> str:
    """Post the report on a commit, or on a pull request."""
    from treeline.commands.comment import comment_on_commit, comment_on_pull_request

    if commit and not pull_request:
        return comment_on_commit(commit)
    if pull_request and not commit:
        return comment_on_pull_request(pull_request)
    raise click.UsageError("Give one of --commit and --pull-request.")


of_version = click.option(
    "--version",
    envvar="VERSION",
    default="",
    help="Another release than the last: its commit, a tag, a model's version [VERSION].",
)
unlisted_too = click.option(
    "--unlisted", envvar="UNLISTED", is_flag=True, help="Any commit, released or not [UNLISTED]."
)


@click.command(epilog=example("IMAGE=ghcr.io/owner/name treeline pending"))
@of_version
@unlisted_too
def pending(version: str, unlisted: bool) -> str:
    """Say whether there is anything to deploy, by the lists in git.

    COMMIT is handed to the next step of the workflow, and is empty where there is nothing to do.
    """
    from treeline.commands.release import pending as command

    return command(version.strip(), unlisted=unlisted)


@click.command(epilog=example("treeline release --version v1.4.0"))
@of_version
@unlisted_too
def release(version: str, unlisted: bool) -> str:
    """Fetch the released commit and its models into build/release.

    The folder is a clone at that commit, with the artifacts it serves: what an image is built from.
    """
    from treeline.commands.release import prepare_release

    return prepare_release(version.strip(), unlisted=unlisted)


@click.command(epilog=example("treeline gc --remote --dry"))
@click.option("--remote", is_flag=True, help="Clean the shared remote too.")
@click.option("--dry", is_flag=True, help="Only say what would be removed.")
def gc(remote: bool, dry: bool) -> str:
    """Remove data and models that no branch, tag or release needs.

    `dvc gc` knows no releases, and would take what a roll-back needs.
    """
    from treeline.commands.gc import collect_garbage

    return collect_garbage(remote=remote, dry=dry)


@click.command(epilog=example("IMAGE=ghcr.io/owner/name treeline ship"))
@of_folder
def ship(folder: Path) -> None:
    """Build the image of a checkout, check it, push it to IMAGE.

    FOLDER, build/release by default, holds the Dockerfile and model/. Without IMAGE in the
    environment the image stays here; one that was pushed before is checked again, not built.
    """
    from treeline.commands.ship import ship_release

    ship_release(folder)


@click.command(epilog=example("treeline send --to s3://bucket/models"))
@of_folder
@click.option("--to", envvar="API_MODELS", required=True, help="s3://BUCKET/PREFIX [API_MODELS].")
def send(folder: Path, to: str) -> str:
    """Send models to a bucket that services fetch them from.

    FOLDER, build/release by default, is a checkout with its artifacts: `treeline release` makes it,
    and `.` is this one. What the bucket has already is not sent again. Services that have the same
    API_MODELS serve the models of FOLDER, and no others, some seconds later (docs/model-store.md).
    """
    from treeline.commands.send import send as command

    return command(folder, to)


@click.command(epilog=example("IMAGE=ghcr.io/owner/name treeline deploy"))
@of_folder
def deploy(folder: Path) -> None:
    """Put the shipped image in service, and go back if it fails.

    DEPLOY_TO says where: koyeb, kubernetes or webhook, each with settings of its own
    (docs/workflows.md). FOLDER, build/release by default, is the checkout that was shipped. The
    environment names IMAGE; and ENDPOINT_URL, which is asked for predictions, and DEPLOY_SECONDS
    where wanted. What is not set is left out, and said. What comes of it is recorded in git.
    """
    from treeline.commands.deploy import deploy_release

    deploy_release(folder)


@click.command(epilog=example("treeline doctor --json"))
@as_json
def doctor(as_json: bool) -> int:
    """Check the repository, its remote and what the workflows need.

    One line for each check, what can be said offline first, each with the way out. Ends with exit
    code 1 when anything is wrong. No secret is printed.
    """
    from treeline.commands.doctor import examine, secrets
    from treeline.delivery.progress import GREEN, RED, coloured
    from treeline.doctor.finding import State

    hidden, states, groups = secrets(), Counter[State](), {}
    for group, findings in examine():
        groups[group] = [each.to_dict(hidden) for each in findings]
        states.update(each.state for each in findings)
        if not as_json:
            print(group)
            for each in findings:
                colour = {State.WRONG: RED, State.OK: GREEN}.get(each.state)
                line = each.to_line(hidden)
                print(f"  {coloured(line, colour) if colour else line}", flush=True)
    wrong, optional = states[State.WRONG], states[State.OPTIONAL]
    if as_json:
        print(to_json({"wrong": wrong, "optional": optional, "groups": groups}))
    else:
        print(f"\n{wrong or 'Nothing'} wrong, {optional} optional.")
    return 1 if wrong else 0


@click.command(epilog=example("treeline monitor --log https://models.example.org iris"))
@of_log
@with_secret
@click.option("--since", type=Moment(), help="From this time on; the declared window before.")
@click.option("--until", type=Moment(), help="Before this time; now.")
@as_json
@click.argument("models", nargs=-1, metavar="[MODEL]...")
def monitor(
    *,
    models: tuple[str, ...],
    log: str,
    secret: str | None,
    since: float | None,
    until: float | None,
    as_json: bool,
) -> int:
    """Compare what a service answers with what was promised.

    Inputs, answers, and what came true of them, of each MODEL or of all: build/monitor/MODEL.md
    tells it, build/monitor/MODEL.json is for programs. Ends with exit code 3 where a model alarms.
    """
    from treeline.commands.monitor import ALARM
    from treeline.commands.monitor import monitor as command

    if not log:
        raise click.UsageError("Give --log, or set TREELINE_LOG.")
    secret = secret or usual_secret(log)
    with working(as_json=as_json):
        records = command(models, log=log, secret=secret, since=since, until=until)
    if as_json:
        print(to_json([each.summary() for each in records]))
    else:
        for each in records:
            print(f"{each.model}: {each.state}, {each.seen.rows:,} rows")
            for alarm in each.alarms:
                print(f"  {alarm.alarm}: {alarm.on} {alarm.text}")
    return ALARM if any(each.state == "alarm" for each in records) else 0


@click.command(epilog=example("treeline respond"))
def respond() -> str:
    """Bring the issues of what is monitored up to date.

    Of each model that alarmed at the last `treeline monitor` there is one issue on GitHub, which is
    closed when all is well. A training is asked for where it is declared and can help; TRAIN is
    handed to the next step of the workflow.
    """
    from treeline.commands.respond import respond as command

    return "\n".join(f"{each.model}: {each.change}. {each.reason}".rstrip() for each in command())


@click.command(epilog=example("treeline why 7b4599068f47"))
@of_log
@with_secret
@click.option(
    "--signers",
    metavar="FILE",
    envvar="API_TRUSTED_SIGNERS",
    default="",
    help="Public keys, or signers as JSON, to verify releases by [API_TRUSTED_SIGNERS].",
)
@click.option("--model", default="", help="Which model, where several have the version.")
@as_json
@click.argument("named", metavar="ID_OR_VERSION")
def why(  # the options, by name
    *, named: str, log: str, secret: str | None, signers: str, model: str, as_json: bool
) -> int:
    """Say what is behind a prediction: model, release, commit, data.

    With --log (or TREELINE_LOG) ID_OR_VERSION is the `id` of an answer; without, it is the version
    of a model, which answers have too, and the clone alone is read. What is not known is said.
    """
    from treeline.commands.why import why as command

    with working(as_json=as_json):
        secret = secret or usual_secret(log)
        answer = command(named, log=log, secret=secret, signers=signers, model=model)
    print(to_json(answer.to_dict()) if as_json else answer.text)
    return 0


@click.command(epilog=example("treeline replay tree-survival"))
@click.option("--random", "by_chance", is_flag=True, help="Any version that was ever released.")
@click.option("--model", default="", help="Which model, where several have the version.")
@as_json
@click.argument("named", metavar="[MODEL_OR_VERSION]", default="")
def replay(*, named: str, by_chance: bool, model: str, as_json: bool) -> int:
    """Make an old version again, and say whether it is the same.

    Code and declaration are those of its commit, libraries those installed here. Ends with exit
    code 1 where neither bytes nor predictions agree.
    """
    from treeline.commands.replay import replay_version, to_dict, to_text

    if bool(named) == by_chance:
        raise click.UsageError("Name a model or a version, or give --random.")
    with working(as_json=as_json):
        done = replay_version(
            named,
            by_chance=by_chance,
            model=model,
            on_stage=lambda stage: click.echo(f"{stage} …", err=True),
        )
    if done is None:
        print("Nothing is released yet, as far as this clone knows: git fetch origin released")
        return 0
    print(to_json(to_dict(done)) if as_json else to_text(done))
    return 0 if done.good else 1


COMMANDS = (
    pull, stale, retrain, publish, report, comment, propose, notify, outcome, pending, release,
    ship, send, deploy, monitor, respond, why, replay, gc, doctor,
)  # fmt: skip
