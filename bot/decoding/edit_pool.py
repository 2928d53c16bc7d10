"""The edit neighbourhood of one faulty body, ranked by the model.

An edit's score is log p of its changed line after the faulty lines above it, plus log p of copying those lines, plus
the log of the operator's prior: the model's belief that the fault is there and that this is its repair. Without a model
the prior alone ranks.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, repeat

from bot.decoding.prompt import Prompt
from bot.edit_scope import enclosing, locals_around, related, told
from bot.edits import LIMIT, Edit, Neighbourhood
from bot.functions import FunctionText
from bot.logical_lines import logical_lines
from bot.models.language_model import Branch, LanguageModel
from bot.syntax import parsed

MAX_NAMES = 60
MAX_METHODS = 10
CHUNKS = (64, 128, 256, 400)  # edits that the model ranks at a time, the last ever again: running them starts early
TRUST = 0.5  # weight of the model against the prior; measured with the embedded model by benchmarks.ranking
RAISING = 5.0  # how much likelier an edit is of the statement in which a failing test has its exception
NEARBY = 32  # edits of the next lines that the model ranks at a statement boundary


@dataclass(frozen=True, slots=True)
class Scored:
    """An edit and its score in nats, comparable over the edits of one function."""

    edit: Edit
    score: float


@dataclass(slots=True)
class EditPool:
    """All single edits of a function's body, likeliest first, at most `limit`; each is scored at most once."""

    function: FunctionText
    prompt: Prompt | None
    model: LanguageModel | None
    names: Sequence[str] = ()
    trust: float = TRUST
    limit: int = LIMIT
    _neighbourhood: Neighbourhood | None = None
    _scores: dict[str, float] = field(default_factory=dict)
    _copying: list[float] = field(default_factory=list)
    _trunk: Branch | None = None

    @property
    def neighbourhood(self) -> Neighbourhood:
        if self._neighbourhood is None:
            self._neighbourhood = Neighbourhood(self.function, self.names)
        return self._neighbourhood

    def chunks(
        self, executed: frozenset[int], raising: frozenset[int] = frozenset(), worth: Callable[[], bool] = lambda: True
    ) -> Iterator[list[Scored]]:
        """Yield all edits in chunks, best first in each; edits of lines that no failing test executes come last.

        executed: lines of the body, 1-based; empty when nothing is known. raising: those in which a failing test has
        its exception; their edits, and what is inserted before them, count for more. worth: asked before each chunk but
        the first whether the model is to rank it; else its edits keep the order of their priors.
        """
        reached, after = self._reached(executed)
        likelier = dict.fromkeys(self._reached(raising)[0], RAISING) if raising else {}
        proposals = self.neighbourhood.proposals

        def matters(place: int) -> bool:
            line, grows = proposals[place].line, proposals[place].grows
            return not executed or line in reached or (grows and line in after)

        def weight(place: int) -> float:
            return proposals[place].weight * likelier.get(proposals[place].line, 1.0)

        order = sorted(range(len(proposals)), key=lambda place: (not matters(place), -weight(place)))
        edits = islice(self.neighbourhood.edits(order), self.limit)
        for number, size in enumerate(chain(CHUNKS, repeat(CHUNKS[-1]))):
            chunk = list(islice(edits, size))
            if not chunk:
                return
            scored = self.score(chunk) if number == 0 or worth() else unscored(chunk)
            yield sorted(scored, key=lambda item: -item.score - math.log(likelier.get(item.edit.line, 1.0)))

    def near(self, written: str, lines: int) -> list[Scored]:
        """Return the likeliest edits of the `lines` logical lines after `written`, a beginning of the faulty body."""
        first = written.count("\n") + 1
        ahead = "".join(logical_lines(self.function.body[len(written) :])[:lines])
        last = first + max(1, ahead.count("\n")) - 1
        nearby = (edit for edit in self.around(range(first, last + 1)) if edit.body.startswith(written))
        return self.score(list(islice(nearby, NEARBY)))

    def around(self, lines: range, *, outside: bool = False) -> Iterator[Edit]:
        """Yield the edits whose first changed line is one of these, or none of these, likeliest first."""
        proposals = self.neighbourhood.proposals
        return self.neighbourhood.edits(n for n, one in enumerate(proposals) if (one.line in lines) != outside)

    def score(self, edits: Sequence[Edit]) -> list[Scored]:
        """Return the edits with their scores, best first."""
        by_line: dict[int, list[Edit]] = {}
        for edit in edits:
            if edit.body not in self._scores:
                by_line.setdefault(edit.line, []).append(edit)
        for line in sorted(by_line, reverse=True):  # each follows a beginning of what the last followed
            for edit, score in zip(by_line[line], self._score(line, by_line[line]), strict=True):
                self._scores[edit.body] = score
        return sorted((Scored(edit, self._scores[edit.body]) for edit in edits), key=lambda item: -item.score)

    def _score(self, line: int, edits: list[Edit]) -> list[float]:
        """Return the scores of edits whose first changed line is `line`."""
        priors = [item.score for item in unscored(edits)]
        if self.model is None or self.prompt is None:
            return priors
        whole = self.function.body.splitlines(keepends=True)
        before = "".join(whole[: line - 1])
        faulty = logical_lines(self.function.body[len(before) :])
        texts = [_until_changed(logical_lines(edit.body[len(before) :]), faulty, self.prompt.end) for edit in edits]
        drafts = [self.model.encode(text) for text in texts]
        scores = self.model.score_many(self._behind(self.model, self.prompt, before), drafts)
        copying = self._copied(self.model, self.prompt)
        copied = [
            copying[_replaced(whole, edit.body[len(before) + len(text) :], line, text)] - copying[line - 1]
            for edit, text in zip(edits, texts, strict=True)
        ]
        gains = [score - usual for score, usual in zip(scores, copied, strict=True)]
        return [prior + self.trust * gain for prior, gain in zip(priors, gains, strict=True)]

    def _behind(self, model: LanguageModel, prompt: Prompt, before: str) -> Branch:
        """Return the branch behind which edits are scored; it is kept, so that the prompt is computed once."""
        head, answer = model.encode(prompt.plain), model.encode(before)
        if self._trunk is None:
            self._trunk = model.branch([*head, *answer])
        self._trunk.rebase(head, answer)
        return self._trunk

    def _copied(self, model: LanguageModel, prompt: Prompt) -> list[float]:
        """Return log p of the first n lines of the faulty body for each n, from one pass over it."""
        if not self._copying:
            ids: list[int] = []
            ends = [0]
            for text in self.function.body.splitlines(keepends=True):
                ids += model.encode(text)
                ends.append(len(ids))
            logprobs = model.score(model.branch(model.encode(prompt.plain)), ids)
            self._copying = [float(logprobs[:end].sum()) for end in ends]
        return self._copying

    def _reached(self, executed: frozenset[int]) -> tuple[set[int], set[int]]:
        """Return the lines of statements that are executed, and those before which a new statement would be."""
        reached: set[int] = set()
        after: set[int] = set()
        line, follows = 1, True
        for part in logical_lines(self.function.body):
            own = range(line, line + part.count("\n"))
            if follows:
                after.update(own)
            follows = any(number in executed for number in own)
            if follows:
                reached.update(own)
            line = own.stop
        return reached, after | {line} if follows else after


def unscored(edits: Iterable[Edit]) -> list[Scored]:
    """Return the edits, in the order given, with the log of their priors for scores."""
    return [Scored(edit, math.log(max(edit.weight, 1e-12))) for edit in edits]


def _until_changed(lines: Sequence[str], faulty: Sequence[str], end: str) -> str:
    """Return the edit's logical lines up to the first that the faulty body does not have there, else to the end."""
    same = next(
        (place for place, pair in enumerate(zip(lines, faulty, strict=False)) if pair[0] != pair[1]), len(lines)
    )
    return "".join(lines[: same + 1]) + (end if same >= len(lines) else "")


def _replaced(whole: Sequence[str], rest: str, line: int, text: str) -> int:
    """Return the number of the last faulty line that `text`, written from `line` on, stands for.

    whole: the faulty body's lines. rest: what the edited body goes on with; where it ends as the faulty body does, the
    lines before that are replaced, else as many as were written.
    """
    left = rest.splitlines(keepends=True)
    same = len(whole) - len(left)
    return same if line - 1 <= same and list(whole[same:]) == left else min(line - 1 + text.count("\n"), len(whole))


def names_in_scope(source: bytes, function: FunctionText) -> list[str]:
    """Return what a body may name beside its own names: what its `self` has, then the module's names; in order.

    "self.x" is an attribute or a method, "self.save(notes)" a method with its parameters, "super()" stands for a base;
    `bot.edit_scope` says what else the module tells.
    """
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError):
        return []
    *_, owner, _ = ["", "", *function.qualname.split(".")]
    chain = enclosing(tree, function.qualname, function.first_line)
    names = dict.fromkeys(locals_around(chain))
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in _with_bases(owner, classes):
        names |= dict.fromkeys(_members(node))
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names[statement.name] = None
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name.partition(".")[0]): None for alias in statement.names}
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            names |= {
                n.id: None for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
    found = [name for name in names if name not in ("*", function.name, "annotations")][:MAX_NAMES]
    if owner in classes:
        bases = [base for base in classes[owner].bases if not (isinstance(base, ast.Name) and base.id == "object")]
        found += ["super()"] if bases else []
        methods = _callable_members(_with_bases(owner, classes))
        found += sorted(methods, key=lambda method: not related(method, function.name))[:MAX_METHODS]
    return [*found, *told(tree, chain)]


def _with_bases(owner: str, classes: Mapping[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """Return the class of this name and those of its bases that the module defines, nearest first."""
    found: dict[str, ast.ClassDef] = {}
    waiting = [owner]
    while waiting:
        name = waiting.pop(0)
        if name in classes and name not in found:
            found[name] = classes[name]
            waiting += [base.id for base in classes[name].bases if isinstance(base, ast.Name)]
    return list(found.values())


def _members(owner: ast.ClassDef) -> list[str]:
    """Return "self.x" for what the class's methods store in `self`, for its declared fields and for its methods."""
    stored = [
        f"self.{node.attr}"
        for node in ast.walk(owner)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    ]
    fields = [
        f"self.{node.target.id}"
        for node in owner.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    methods = [f"self.{node.name}" for node in owner.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return [name for name in [*stored, *fields, *methods] if not name.startswith("self.__")]


def _callable_members(owners: Sequence[ast.ClassDef]) -> list[str]:
    """Return "self.save(notes)" for the plain methods of these classes that take at most one argument."""
    found: dict[str, None] = {}
    for node in [node for owner in owners for node in owner.body]:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__") and not node.decorator_list:
            names = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args]]
            required = names[1 : len(names) - len(node.args.defaults)]
            if names[:1] == ["self"] and len(required) <= 1 and not any(d is None for d in node.args.kw_defaults):
                found[f"self.{node.name}({', '.join(required)})"] = None
    return list(found)
