"""Certificates as people read them on a terminal.

All text is put together from `Text`, never from markup: names come from other people's objects.
"""

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from onehop.control.certificates.report import (
    CertificateList,
    CertificateReport,
    CertificateSummary,
    HostStory,
    Shown,
    Standing,
)
from onehop.control.certificates.words import day_text, soon_text
from onehop.model.problem import Reason

FOREIGN: Final = "not by onehop"
_HOSTS: Final = 2
_COLOURS: Final = {
    Standing.VALID: "green",
    Standing.ISSUING: "cyan",
    Standing.FAILING: "red",
    Standing.EXPIRED: "red",
    Standing.MISSING: "red",
}
_TOPICS: Final = {
    "claims": "claimed by",
    "tls": "TLS",
    "asked": "asked for",
    "problems": "problem",
    "checks": "looked at",
    "state": "state",
    "shown": "shown",
    "clients": "clients",
    "next": "next",
}


def print_list(console: Console, found: CertificateList) -> None:
    """Print a line for each Secret."""
    if not found.certificates:
        console.print("no object names a certificate")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("secret", "hosts", "issuer", "state", "ends"):
        table.add_column(title, no_wrap=True)
    table.add_column("next", overflow="fold")
    for report in found.certificates:
        table.add_row(
            report.secret,
            Text(_hosts_text(report.hosts)),
            report.issuer or FOREIGN,
            Text(report.standing, style=_COLOURS[report.standing]),
            _end_text(report),
            Text(_next_text(report)),
        )
    console.print(table)


def print_report(console: Console, report: CertificateReport, now: float) -> None:
    """Print all there is to say of a Secret."""
    head = Text(report.secret, style="bold")
    console.print(head.append(f"  {report.standing}", _COLOURS[report.standing]), soft_wrap=True)
    for key, value in _lines(report, now):
        console.print(Text.assemble((f"  {key:<11}", "bold"), value), soft_wrap=True)


def print_story(console: Console, story: HostStory) -> None:
    """Print the story of a host."""
    head = Text(story.host, style="bold")
    head.append(f"  {story.says}", "green" if story.is_good else "red")
    console.print(head, soft_wrap=True)
    before = ""
    for step in story.steps:
        topic = _TOPICS[step.topic] if step.topic != before else ""
        before = step.topic
        style = {True: "green", False: "red", None: "bright_black"}[step.is_good]
        sign = {True: "ok  ", False: "!   ", None: "    "}[step.is_good]
        line = Text.assemble((f"  {topic:<11}", "bold"), (sign, style), step.says)
        console.print(line, soft_wrap=True)
        if step.advice:
            console.print(Text(f"{'':17}-> {step.advice}"), soft_wrap=True)


def summary_text(summary: CertificateSummary) -> str:
    """Return all certificates in a line."""
    counts = (
        f"{summary.valid} valid",
        f"{summary.issuing} being issued" if summary.issuing else "",
        f"{summary.failing} failing" if summary.failing else "",
    )
    text = ", ".join(count for count in counts if count)
    if summary.next_end is None:
        return text
    return f"{text}; next to end {summary.next_secret}, {day_text(summary.next_end)}"


def _hosts_text(hosts: tuple[str, ...]) -> str:
    shown = ", ".join("any other" if host == "*" else host for host in hosts[:_HOSTS])
    return shown if len(hosts) <= _HOSTS else f"{shown} +{len(hosts) - _HOSTS}"


def _end_text(report: CertificateReport) -> Text:
    if report.shown is None:
        return Text("-")
    is_near = any(problem.reason is Reason.CERTIFICATE_EXPIRING for problem in report.problems)
    style = "red" if report.standing is Standing.EXPIRED else "yellow" if is_near else ""
    return Text(day_text(report.shown.not_after), style=style)


def _next_text(report: CertificateReport) -> str:
    if report.last_error and not report.standing.is_good and report.issuer is not None:
        return f"{report.next}: {report.last_error}"
    return report.last_error if report.last_error and report.issuer is None else report.next


def _lines(report: CertificateReport, now: float) -> Iterator[tuple[str, str]]:
    yield "hosts", ", ".join("any other" if host == "*" else host for host in report.hosts)
    yield "issuer", report.issuer or FOREIGN
    yield "wanted by", ", ".join(report.wanted_by)
    yield from _shown_lines(report.shown, now)
    if report.phase is not None:
        again = f", {report.failures} refusals in a row" if report.failures > 1 else ""
        yield "phase", f"{report.phase}{again}"
    yield "next", report.next
    is_told = report.last_error in {problem.message for problem in report.problems}
    facts = {
        "last error": "" if is_told else report.last_error,
        "advice": report.advice,
        "order": report.order_url or "",
        "see": report.renewal_page,
    }
    yield from ((key, value) for key, value in facts.items() if value)
    for finding in report.findings:
        advice = f"; {finding.advice}" if finding.advice else ""
        sign = "ok" if finding.is_good else "not good"
        yield "looked at", f"{finding.check} of {finding}: {sign}{advice}"
    for problem in report.problems:
        yield "problem", f"{problem.severity}: {problem}"


def _shown_lines(shown: Shown | None, now: float) -> Iterator[tuple[str, str]]:
    if shown is None:
        yield "shown", "nothing: there is no certificate"
        return
    whom = ", ".join("any other" if host == "*" else host for host in shown.hosts)
    yield "shown to", f"clients of {whom}" if whom else "nobody: it decides no host"
    chain = f", below {shown.chain_top}" if shown.chain_top != shown.issued_by else ""
    yield "issued by", f"{shown.issued_by}{chain}"
    yield "valid for", ", ".join(shown.names) or "no host"
    if shown.uncovered:
        yield "not for", f"{', '.join(shown.uncovered)}: clients refuse it"
    ended = "ended" if shown.not_after <= now else "ends"
    when = day_text(shown.not_after) if ended == "ended" else soon_text(shown.not_after, now)
    yield "valid", f"from {day_text(shown.not_before)}; {ended} {when.removeprefix('on ')}"
    yield "key", shown.key
    yield "SHA-256", shown.fingerprint
