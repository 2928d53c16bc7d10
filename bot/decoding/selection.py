"""Decides what of a function's surroundings goes into the prompt, and what is left out, within a budget of tokens.

Pure. The one place that says what is worth how much: a part is taken if there is room for it, the most valuable kind
first, a long one in its short form where only that fits. What is taken is shown in a readable order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.decoding.prompt import Part, PartKind, Task

# Most valuable first. The function, the first failing test and the failure's one line are always there.
VALUE: tuple[PartKind, ...] = (
    "assertion", "class", "enclosing", "callee", "import", "constant", "traceback", "fixture", "test", "base", "caller",
)  # fmt: skip
CODE: tuple[PartKind, ...] = ("import", "constant", "base", "class", "enclosing", "callee", "caller")  # in this order
DETAILS: tuple[PartKind, ...] = ("assertion", "traceback")

Count = Callable[[str], int]  # tokens of a text, by the model's own tokenizer


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen. task: with exactly that in it. tokens: of the parts taken, beside what is always there."""

    task: Task
    taken: tuple[str, ...] = ()  # "callee helper", "class Cart (short)"
    left_out: tuple[str, ...] = ()
    tokens: int = 0


def select(task: Task, room: int, count: Count) -> Selection:
    """Return the task with those of its parts that `room` tokens hold; its parts are in the order they were found."""
    chosen: dict[int, Part] = {}
    taken: list[str] = []
    left_out: list[str] = []
    used = 0
    order = sorted(range(len(task.parts)), key=lambda number: VALUE.index(task.parts[number].kind))
    for number in order:
        part = task.parts[number]
        for text, note in ((part.text, ""), (part.short, " (short)")):
            size = count(text) + 1 if text else 0
            if text and used + size <= room:
                chosen[number] = replace(part, text=text)
                taken.append(f"{part.kind} {part.name}{note}")
                used += size
                break
        else:
            left_out.append(f"{part.kind} {part.name}")
    parts = [chosen[number] for number in sorted(chosen)]
    context = "".join(_shown(part) for kind in CODE for part in parts if part.kind == kind)
    details = "\n".join(part.text.strip("\n") for kind in DETAILS for part in parts if part.kind == kind)
    fixtures = tuple(part.text for part in parts if part.kind == "fixture")
    tests = tuple(part.text for part in parts if part.kind == "test")
    filled = replace(task, tests=(*task.tests[:1], *tests, *fixtures), context=context, details=details, parts=())
    return Selection(filled, tuple(taken), tuple(left_out), used)


def _shown(part: Part) -> str:
    text = part.text if part.text.endswith("\n") else f"{part.text}\n"
    return f"# {part.path}\n{text}" if part.path else text
