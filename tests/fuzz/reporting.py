"""Findings and tallies → files below build/fuzz, and a table."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.fuzz.running import Finding, Tally

MEASURES = ("seconds", "worked", "hold_ms", "growth_mib", "answer_kib")


def write(folder: Path, finding: Finding) -> Path:
    """Write a finding and its body, and return where."""
    case = finding.case
    stem = folder / f"{case.format}-{case.seed}-{case.number}"
    stem.with_suffix(".body").write_bytes(case.payload)
    document = {
        "format": case.format,
        "seed": case.seed,
        "number": case.number,
        "name": case.name,
        "again": again(finding),
        "request": f"{case.request.method} {case.request.path}",
        "headers": dict(case.request.headers),
        "before": list(finding.before),
        "faults": {fault.kind: fault.text for fault in finding.faults},
    }
    path = stem.with_suffix(".json")
    path.write_text(json.dumps(document, indent=2, ensure_ascii=True) + "\n")
    return path


def again(finding: Finding) -> str:
    """Return the command that sends the case of a finding again."""
    case = finding.case
    return f"python -m tests.fuzz --format {case.format} --seed {case.seed} --case {case.number}"


def line(finding: Finding) -> str:
    """Return a finding on one line."""
    case = finding.case
    faults = "; ".join(f"{fault.kind}: {fault.text}" for fault in finding.faults)
    return f"FOUND {case.format} {case.number} ({case.name}): {ascii(faults)[1:-1][:400]}"


def table(tallies: Mapping[str, Tally]) -> str:
    """Return what was seen of each format, as a table in Markdown."""
    head = "| format | cases | statuses | longest s | work s | loop held ms | MiB | problem KiB |"
    lines = [head, "|---|---:|---|---:|---:|---:|---:|---:|"]
    for name, tally in tallies.items():
        statuses = " ".join(f"{status}:{count}" for status, count in sorted(tally.statuses.items()))
        worst = [f"{tally.worst[key][0]:.1f}" if key in tally.worst else "" for key in MEASURES]
        lines.append(f"| {name} | {tally.cases} | {statuses} | {' | '.join(worst)} |")
    return "\n".join(lines)


def culprits(tallies: Mapping[str, Tally]) -> str:
    """Return which cases were the worst ones of each format."""
    return "\n".join(
        f"{name} {measure}: {value:.1f} by {case}"
        for name, tally in tallies.items()
        for measure, (value, case) in tally.worst.items()
    )
