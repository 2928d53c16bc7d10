"""What the model reads, and where in it the dynamic signal stands.

Pure text: no model, no tokenizer, no I/O. Training and inference build their prompts here and nowhere else.
Two styles: *tagged* for models that know our special tokens (the embedded model), *instruct* for every other causal
language model, with or without a chat template. The signal stands after everything static and just before the answer,
so that the key-value cache of the static part is shared (EG-CFG, arXiv:2506.10948, section on dynamic signals).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

Style = Literal["tagged", "instruct"]
MAX_LINES = 80
LINE_TOKENS = tuple(f"<L{number}>" for number in range(1, MAX_LINES + 1))
SPECIAL_TOKENS = (
    "<pad>", "<bug>", "<test>", "<err>", "<trace>", "<cand>", "<fix>", "<end>", "<notrace>", "<susp>",
    *LINE_TOKENS,
)  # fmt: skip
MAX_TESTS = 3
TEST_CHARS = 400
FAILURE_CHARS = 160
TAGGED_TEST_CHARS = 200  # the small models behind this style were trained on short texts

# what chat models read as the structure of a conversation, in the spellings of the common families
_CHAT_TOKEN = re.compile(r"<(?=[|｜][^<>\s]{1,40}[|｜]>|(?:start|end)_of_turn>)|\[(?=/?INST\])")

_HEADING = re.compile(r"^###(?= (?:Instruction|Response):)", re.MULTILINE)  # of a prompt without a chat template
_DOCSTRING = re.compile(r"[ \t]+[rRuU]?(\"\"\"|''')")

ChatTemplate = Callable[[str], str]  # one user message in, prompt text up to the assistant's turn out


PartKind = Literal[
    "test", "fixture", "assertion", "traceback",
    "class", "base", "enclosing", "callee", "caller", "import", "constant",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """Something that may stand in the prompt beside the function; `bot.decoding.selection` says whether it does.

    name: for people. text, short: whole, and in less words if there are any. path: of its file, "" for the function's.
    """

    kind: PartKind
    name: str
    text: str
    short: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One function to regenerate.

    function: the faulty function, normalised: decorators and `def` at column 0, four-space indentation.
    header_lines: how many of its lines stand before the body (decorators, signature, docstring).
    tests: sources of failing tests, dedented, most telling first.
    failure: exception and message of the first failing test, one line.
    context: what else the function needs (imports, class header, callees), for instruct prompts.
    details: more of what the failure says: the assertion with its values, the traceback; for instruct prompts.
    parts: what `context`, `details` and further tests are chosen from.
    """

    function: str
    header_lines: int
    tests: tuple[str, ...] = ()
    failure: str = ""
    context: str = ""
    details: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def header(self) -> str:
        return "".join(self.function.splitlines(keepends=True)[: self.header_lines])

    @property
    def body(self) -> str:
        return "".join(self.function.splitlines(keepends=True)[self.header_lines :])


@dataclass(frozen=True, slots=True)
class Prompt:
    """Text before the answer: `head`, the signal or `no_signal`, then `tail`. The answer is the body, then `end`."""

    head: str
    no_signal: str
    tail: str
    end: str
    style: Style

    @property
    def plain(self) -> str:
        """The text of p_sol before the body."""
        return self.head + self.no_signal + self.tail

    def with_signal(self, signal: str) -> str:
        """The text of p_dyn before the body; an empty signal gives `plain`."""
        return self.head + signal + self.tail if signal else self.plain


def cut(text: str, limit: int) -> str:
    """Return `text` cut to `limit` characters, the cut shown."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def shown_lines(task: Task) -> list[tuple[int, str]]:
    """Return the function's lines with their numbers, 1-based; of a docstring the first line that says something."""
    lines = list(enumerate(task.function.splitlines(), 1))
    header = lines[: task.header_lines]
    found = [(place, match[1]) for place, (_, line) in enumerate(header) if (match := _DOCSTRING.match(line))]
    if not found or found[0][0] + 1 == len(header):
        return lines
    start, quotes = found[0]
    told = [(n, _DOCSTRING.sub("", line).strip().removesuffix(quotes).strip()) for n, line in header[start:]]
    number, words = next((line for line in told if line[1]), told[0])
    return [*header[:start], (number, f"    {quotes}{words}{quotes}"), *lines[task.header_lines :]]


def numbered(lines: Iterable[tuple[int, str]]) -> str:
    """Return the lines with a token before each that says its number, up to 80."""
    return "".join(f"{LINE_TOKENS[n - 1] if n <= MAX_LINES else ''}{line}\n" for n, line in lines)


def tagged_prompt(task: Task) -> Prompt:
    """Return the prompt for a model trained on our special tokens."""
    tests = "".join(f"<test>{cut(defuse(test.strip()), TAGGED_TEST_CHARS)}\n" for test in task.tests[:MAX_TESTS])
    failure = f"<err>{cut(one_line(defuse(task.failure)), FAILURE_CHARS)}\n"
    bug = "<bug>" + numbered(shown_lines(replace(task, function=defuse(task.function))))
    return Prompt(tests + failure + bug, "<notrace>", "<fix>", "<end>", "tagged")


def instruct_prompt(task: Task, chat: ChatTemplate | None = None) -> Prompt:
    """Return the prompt for any other model; `chat` renders its chat template, None means plain text."""
    tests = "\n\n".join(cut(test.strip(), 4 * TEST_CHARS) for test in task.tests)
    failure = cut(one_line(task.failure), 4 * FAILURE_CHARS)
    fence = _fence(task.context, task.function, tests, failure, task.details)
    context = f"Context:\n{fence}python\n{task.context.strip()}\n{fence}\n\n" if task.context.strip() else ""
    details = f"\n{fence}text\n{task.details.strip()}\n{fence}\n" if task.details.strip() else ""
    static = _defuse_heads(
        defuse_chat(
            "A Python function is faulty: the tests below fail. Write the whole function again with the fault "
            "repaired. Keep the signature. Answer with one Python code block and nothing else.\n\n"
            f"{context}Faulty function:\n{fence}python\n{task.function.rstrip()}\n{fence}\n\n"
            f"Failing tests:\n{fence}python\n{tests}\n{fence}\n\nFailure: {failure}\n{details}"
        )
    )
    slot = "\N{OBJECT REPLACEMENT CHARACTER}signal\N{OBJECT REPLACEMENT CHARACTER}"
    text = chat(static + slot) if chat else ""
    if slot not in text:
        text = f"### Instruction:\n{static}{slot}\n### Response:\n"
    head, _, tail = text.partition(slot)
    return Prompt(head, "", f"{tail}{fence}python\n{defuse_chat(task.header)}", fence, "instruct")


def _fence(*texts: str) -> str:
    """Return a code fence that none of these untrusted texts can close."""
    return "`" * max(3, 1 + max((len(run) for text in texts for run in re.findall("`+", text)), default=0))


def _defuse_heads(text: str) -> str:
    """Return a message in which no line is one of the headings that part a plain prompt."""
    return _HEADING.sub("# ##", text)


def one_line(text: str) -> str:
    return " ".join(text.split())


def defuse(text: str) -> str:
    """Return untrusted text with our special tokens broken, so that a repository cannot fake a prompt's structure."""
    if "<" not in text:
        return text
    for token in SPECIAL_TOKENS:
        if token in text:
            text = text.replace(token, token.replace("<", "< "))
    return text


def defuse_chat(text: str) -> str:
    """Return untrusted text with the control tokens of chat models broken, so that it cannot end the user's turn."""
    return _CHAT_TOKEN.sub(lambda match: f"{match.group()} ", text)
