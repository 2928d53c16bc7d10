"""Records as a person sees them at a terminal: progress while the stages work, then the result.

Progress goes to one console (standard error), the result to another (standard output). On a terminal the body being
written is shown live; anywhere else, and with NO_COLOR, there are plain lines only. Untrusted text is never read as
markup, its control characters are made visible, and in a CI log none of it can become a command of the runner.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from bot.journal import masked_urls
from bot.markup import printable
from bot.records import Difference, Discovery, Patch, Repair, Suspect, TestFailure, Verdict
from bot.wording import find_headline, headline, told

if TYPE_CHECKING:
    from bot.pipeline import Group as FailureGroup
    from bot.pipeline import Outcome

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2
SHOWN_LINES = 14  # of the body being written
SHOWN_FAILURES = 20
SHOWN_DIFFERENCES = 5
PLAIN_WIDTH = 120
COLOURS = {"strong": "bold green", "plausible": "green", "suspect": "yellow", "rejected": "red"}
COMMAND = re.compile(r"(?m)^([\s\u2028\u2029]*):(?=:)|##(?=\[)")


def console(stream: TextIO, environment: Mapping[str, str]) -> Console:
    """Return a console for `stream`: with colours and live parts only on a terminal that can and may show them."""
    plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb" or not stream.isatty()
    if not plain:
        return Console(file=stream, highlight=False, markup=False, emoji=False)
    columns = environment.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and 40 <= int(columns) <= 1000 else PLAIN_WIDTH
    return Console(
        file=stream, force_terminal=False, color_system=None, width=width, highlight=False, markup=False, emoji=False
    )


class Terminal:
    """Shows events; an `Emit`. Use as a context manager, so that the live part is always taken down.

    hide: events another part of the program shows. in_ci: a CI runner reads the output for commands.
    """

    def __init__(
        self, progress: Console, *, verbosity: int = NORMAL, hide: Sequence[str] = (), in_ci: bool = False
    ) -> None:
        self._out = progress
        self._verbosity = verbosity
        self._hide = frozenset(hide)
        self._in_ci = in_ci
        self._live: Live | None = None
        self._stage = "Starting"
        self._doing = ""
        self._body: list[Text] = []
        self._executions = 0
        self._edits = ""
        self._passing = 0  # bodies of the lot that is being gathered
        self._noted: set[str] = set()
        self._spinner = Spinner("dots")
        self._began = time.monotonic()
        self._python = Syntax("", "python", theme="ansi_dark", background_color="default")

    def __enter__(self) -> Terminal:
        if self._out.is_terminal and self._verbosity > QUIET:
            self._live = Live(
                get_renderable=self._now, console=self._out, transient=True, refresh_per_second=8, redirect_stdout=False
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, event: str, **fields: Any) -> None:
        show: Callable[..., None] | None = getattr(self, f"_on_{event}", None)
        if show is not None and self._verbosity > QUIET and event not in self._hide:
            show(fields)

    # What each event shows

    def _on_start(self, fields: Mapping[str, Any]) -> None:
        runner, model = (self._clean(masked_urls(str(fields.get(name, "?")))) for name in ("runner", "model"))
        self._say(f"Sandbox: {runner}. Model: {model}.", "dim")
        if fields.get("isolated") is False:
            self._say(
                "WARNING: no sandbox. The tests and the model's code run with your rights on this machine.", "bold red"
            )

    def _on_stage(self, fields: Mapping[str, Any]) -> None:
        self._stage = self._clean(fields.get("text") or fields.get("name"))
        self._doing, self._edits, self._began = "", "", time.monotonic()
        self._body.clear()
        self._say(self._stage, "bold")

    def _on_suite(self, fields: Mapping[str, Any]) -> None:
        counts = [f"{fields[name]} {name}" for name in ("collected", "failed", "passed", "skipped") if name in fields]
        seconds, earlier = fields.get("duration_s"), fields.get("earlier")
        took = f" in {seconds:.1f} s" if isinstance(seconds, (int, float)) else ""
        spared = f"; {earlier} of them passed in the earlier run and were not run" if earlier else ""
        self._say(f"  {', '.join(counts)}{took}{spared}")

    def _on_progress(self, fields: Mapping[str, Any]) -> None:
        self._doing = f"{fields.get('done', '?')} of {fields.get('total', '?')} tests"

    def _on_test(self, fields: Mapping[str, Any]) -> None:
        self._doing = f"{self._clean(fields.get('node_id'))} {self._clean(fields.get('outcome'))}"
        if self._verbosity >= DEBUG:
            self._say(f"  {self._doing}", "dim")

    def _on_failure(self, fields: Mapping[str, Any]) -> None:
        failure = fields.get("failure")
        if isinstance(failure, TestFailure):
            self._print(self._failure(failure))

    def _on_note(self, fields: Mapping[str, Any]) -> None:
        self._noted.add(str(fields.get("text")))
        self._say(f"  Note: {self._clean(fields.get('text'))}", "yellow")

    def _on_ranking(self, fields: Mapping[str, Any]) -> None:
        nodes = [self._clean(node) for node in fields.get("failures", ())]
        heading = nodes[0] if len(nodes) == 1 else f"{len(nodes)} failing tests, {nodes[0]} and others" if nodes else ""
        self._say(f"  Functions to blame for {heading}")
        self._print(Padding(self._ranking(fields.get("suspects", ())), (0, 0, 0, 2)))

    def _on_attempt(self, fields: Mapping[str, Any]) -> None:
        self._doing, self._edits = self._clean(fields.get("setting")), ""
        self._body.clear()
        if self._verbosity >= VERBOSE or self._live is None:
            self._say(f"  Trying {self._doing}", "dim")

    def _on_line(self, fields: Mapping[str, Any]) -> None:
        changed = fields.get("changed", 0)
        count = changed if isinstance(changed, int) else len(changed or ())
        code = [line for line in self._clean(fields.get("text")).splitlines() if line.strip()]
        lines = [self._coloured(line) for line in code]
        if lines and count:
            lines[-1].append(f"   <- guidance changed {count} token{'s' * (count != 1)}", "magenta")
        if self._verbosity < VERBOSE:
            self._body += lines
        else:
            for line in lines:
                self._print(Text("  | ", "dim") + line)

    def _on_signal(self, fields: Mapping[str, Any]) -> None:
        if self._verbosity >= VERBOSE:
            for line in self._clean(fields.get("text")).splitlines():
                self._say(f"  : {line}", "dim")

    def _on_execution(self, fields: Mapping[str, Any]) -> None:
        count = fields.get("count")
        self._executions = count if isinstance(count, int) else self._executions + 1
        if self._verbosity >= DEBUG:
            self._say(f"  Execution {self._executions}: {self._clean(fields.get('outcome'))}", "dim")

    def _on_edits(self, fields: Mapping[str, Any]) -> None:
        self._edits = self._clean(f"{fields.get('tried')} of {fields.get('total')} single edits tried")
        if self._verbosity >= VERBOSE and self._live is None:
            self._say(f"  {self._edits}", "dim")

    def _on_candidate(self, fields: Mapping[str, Any]) -> None:
        how = ", ".join(self._clean(fields[name]) for name in ("origin", "setting") if fields.get(name))
        if self._verbosity >= VERBOSE or not self._passing:
            self._say(f"  A body passes the guiding tests ({how}).", "cyan")
        self._passing += 1

    def _on_ranked(self, fields: Mapping[str, Any]) -> None:
        self._passing = 0
        if fields.get("passing", 0) > 1:
            self._say(f"  {fields['passing']} bodies pass; the likeliest small change is judged first.", "cyan")

    def _on_verdict(self, fields: Mapping[str, Any]) -> None:
        verdict = fields.get("verdict")
        if isinstance(verdict, Verdict):
            self._print(Text("  Verdict: ") + self._verdict(verdict))

    def _on_repair(self, fields: Mapping[str, Any]) -> None:
        repair = fields.get("repair")
        if isinstance(repair, Repair) and not repair.published:
            self._say(f"  Not repaired: {self._clean(repair.reason)}", "red")

    # The result

    def outcome(self, out: Console, outcome: Outcome, patches: Sequence[Patch]) -> None:
        """Print what came of a run: each group of tests, the change, and one line that says it all."""
        for repair in outcome.repairs:
            self._repair(repair, out)
        for patch in patches:
            out.print()
            out.print(self._diff(patch.diff, out))
        told = {failure.node_id for repair in outcome.repairs if not repair.published for failure in repair.failures}
        surprising = [node_id for node_id in outcome.still_failing if node_id not in told]
        if patches or outcome.repairs:
            out.print()
        for node_id in surprising[:SHOWN_FAILURES]:
            self._line(out, f"Still failing with every patch applied: {self._clean(node_id)}", "red")
        self._line(out, headline(outcome), "bold")
        spent = outcome.spent
        self._line(out, f"{spent.seconds:.1f} s, {spent.executions} executions, {spent.tokens} tokens.", "dim")

    def findings(self, out: Console, discovery: Discovery, groups: Sequence[FailureGroup]) -> None:
        """Print the failing tests and the functions to blame for each group of them."""
        for failure in discovery.failures:
            out.print(self._failure(failure))
        for number, (failures, suspects) in enumerate(groups, 1):
            out.print()
            self._line(out, f"Group {number}: {', '.join(self._clean(f.node_id) for f in failures)}", "bold")
            out.print(self._ranking(suspects) if suspects else Text("No function of the repository is to blame."))
        for note in discovery.notes:
            if out.is_terminal and self._out.is_terminal and note in self._noted:
                continue  # it stands a few lines above
            self._line(out, f"Note: {self._clean(note)}", "yellow")
        self._line(out, find_headline(discovery, groups), "bold")

    # Parts

    def _now(self) -> RenderableType:
        """Return the live part: what is being done, and the body as far as it is written."""
        counts = "  ".join(
            part
            for part in (self._doing, self._edits, f"{self._executions} executions" * bool(self._executions))
            if part
        )
        width = self._out.width
        elapsed = f"{time.monotonic() - self._began:.0f} s"
        self._spinner.update(text=Text(f"{self._stage}  {elapsed}  {counts}"[: max(20, width - 4)], no_wrap=True))
        lines = [Text("  | ", "dim") + line for line in self._body[-SHOWN_LINES:]]
        for line in lines:
            line.truncate(width - 1, overflow="ellipsis")
        return Group(self._spinner, *lines)

    def _coloured(self, line: str) -> Text:
        """Return a line of Python, highlighted on its own, so that a half-written body never matters."""
        if not self._out.is_terminal:
            return Text(line)
        text = self._python.highlight(line)
        text.rstrip()
        return text

    def _failure(self, failure: TestFailure) -> RenderableType:
        said = self._clean(told(failure))
        kind = "" if failure.kind == "failure" else f" ({failure.kind})"
        return Text.assemble(
            ("  FAIL ", "red"), self._clean(failure.node_id), (kind, "yellow"), ("  " + said[:200], "dim")
        )

    def _ranking(self, suspects: Sequence[Suspect]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
        table.add_column("#", justify="right")
        table.add_column("score", justify="right")
        table.add_column("function", overflow="fold")
        table.add_column("why", overflow="fold")
        for number, suspect in enumerate(suspects, 1):
            name = f"{suspect.key.qualname}  {suspect.key.path}:{suspect.key.first_line}"
            table.add_row(
                str(number), f"{suspect.score:.2f}", Text(self._clean(name)), Text(self._clean(suspect.reason))
            )
        return table

    def _repair(self, repair: Repair, out: Console) -> None:
        """Print what became of one group of failing tests, then the tests, whole, so that they can be copied."""
        if repair.patch is not None and repair.verdict is not None:
            head = self._verdict(repair.verdict)
            head.append(f"  {self._clean(repair.patch.title)}", "bold")
            if repair.patch.subject == "tests":
                head.append("  (a TEST was changed, not the code)", "bold yellow")
            if not repair.published:
                head.append("  (not in the patch)", "yellow")
        else:
            head = Text.assemble(("not repaired", "red"), f": {self._clean(repair.reason)}")
        out.print(head, soft_wrap=True)
        if repair.verdict is not None:
            self._behaviour(repair.verdict, out)
        for failure in repair.failures[:SHOWN_FAILURES]:
            self._line(out, f"    {self._clean(failure.node_id)}")
        if len(repair.failures) > SHOWN_FAILURES:
            self._line(out, f"    and {len(repair.failures) - SHOWN_FAILURES} more")

    def _behaviour(self, verdict: Verdict, out: Console) -> None:
        """Print what a patch changes beside the failing tests, and what a person has to choose from."""
        if verdict.differences:
            count, total = len(verdict.differences), verdict.compared
            self._line(out, f"  changes the result of {count} of {total} calls recorded in passing tests:", "yellow")
            self._differences(verdict.differences, out)
        for rival in verdict.rivals:
            self._line(out, "  which result is right? (this patch -> another that passes as well)", "yellow")
            self._differences(rival.differences, out)
            out.print(self._diff(rival.diff, out))

    def _differences(self, differences: Sequence[Difference], out: Console) -> None:
        for one in differences[:SHOWN_DIFFERENCES]:
            self._line(out, f"    {self._clean(one.arguments)}: {self._clean(one.before)} -> {self._clean(one.after)}")
        if len(differences) > SHOWN_DIFFERENCES:
            self._line(out, f"    and {len(differences) - SHOWN_DIFFERENCES} more in the report")

    def _verdict(self, verdict: Verdict) -> Text:
        reasons = self._clean("; ".join(verdict.reasons))
        level = f" ({self._clean(verdict.level)})" if verdict.level else ""
        return Text.assemble((verdict.word, COLOURS.get(verdict.word, "")), (f": {reasons}" if reasons else ""), level)

    def _diff(self, diff: str, out: Console) -> RenderableType:
        text = self._clean(diff).rstrip("\n")
        return Syntax(text, "diff", theme="ansi_dark", background_color="default") if out.is_terminal else Text(text)

    def _clean(self, text: object) -> str:
        shown = printable(str(text))
        return COMMAND.sub(lambda found: found[0] + "\N{ZERO WIDTH SPACE}", shown) if self._in_ci else shown

    def _say(self, text: str, style: str = "") -> None:
        self._print(Text(text, style))

    def _print(self, what: RenderableType) -> None:
        self._out.print(what, soft_wrap=isinstance(what, Text))

    @staticmethod
    def _line(out: Console, text: str, style: str = "") -> None:
        out.print(Text(text, style), soft_wrap=True)
