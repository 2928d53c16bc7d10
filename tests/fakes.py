"""The only doubles: a scripted language model, and a session that runs our own snippets in this process."""

from __future__ import annotations

import random
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from bot.decoding.prompt import SPECIAL_TOKENS
from bot.models.huggingface import HuggingFaceModel
from bot.models.language_model import Usage
from runners.runner import FRONTIER, Execution, Frame, TestRun, Trace, TraceEvent

SURE = 0.9  # probability of the token the script asks for
BYTES = 256


class ScriptedModel:
    """A tagged model with one token per byte that writes what a script says, with probability 0.9 at each token.

    answers: from the prompt's text up to `<fix>` to the whole answer. Where something else was written, the model goes
    on at the same length. samples: texts that `sample` returns in turn, whatever the branch; after them, the script.
    """

    name = "scripted"
    fingerprint = "0" * 64
    style = "tagged"
    chat = None

    def __init__(
        self, answers: str | Callable[[str], str], samples: Sequence[str] = (), *, context: int = 100_000
    ) -> None:
        self.answers = (lambda prompt: answers) if isinstance(answers, str) else answers
        self.samples = list(samples)
        self.context = context
        self.usage = Usage()
        self._special = {token: BYTES + index for index, token in enumerate(SPECIAL_TOKENS)}
        self._texts = {index: token for token, index in self._special.items()}
        self._pieces = re.compile(f"({'|'.join(map(re.escape, SPECIAL_TOKENS))})")
        self._known: dict[tuple[int, ...], list[int]] = {}  # the answer after each prompt
        self.size = BYTES + len(SPECIAL_TOKENS)

    @property
    def end_ids(self) -> frozenset[int]:
        return frozenset({self._special["<end>"]})

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in self._pieces.split(text):
            ids += [self._special[part]] if part in self._special else part.encode()
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        parts = [self._texts[i].encode() if i >= BYTES else bytes([i]) for i in ids]
        return b"".join(parts).decode("utf-8", "replace")

    def branch(self, ids: Sequence[int]) -> ScriptedBranch:
        return ScriptedBranch(self, ids)

    def next_logprobs(self, ids: Sequence[int]) -> np.ndarray:
        start = list(ids).index(self._special["<fix>"]) if self._special["<fix>"] in ids else len(ids)
        head, written = tuple(ids[:start]), ids[start + 1 :]
        if head not in self._known:
            self._known[head] = self.encode(self.answers(self.decode(head)))
        answer = self._known[head]
        self.usage.passes += 1
        self.usage.positions += 1
        wanted = answer[len(written)] if len(written) < len(answer) else self._special["<end>"]
        logprobs = np.full(self.size, np.log((1 - SURE) / (self.size - 1)), dtype=np.float32)
        logprobs[wanted] = np.log(SURE)
        return logprobs

    def advance(self, branches: Sequence[ScriptedBranch]) -> list[np.ndarray]:
        return [branch.logprobs() for branch in branches]

    def sample(self, branch, count, *, temperature, top_p, seed, limit, stop) -> list[list[int]]:
        rows = []
        for _ in range(count):
            prompt, _, written = self.decode(branch.ids).partition("<fix>")
            text = self.samples.pop(0) if self.samples else self.answers(prompt)[len(written) :]
            row: list[int] = []
            for token in [*self.encode(text), *self.end_ids][:limit]:
                row.append(token)
                self.usage.tokens += 1
                if token in self.end_ids or stop(self.decode(row)):
                    break
            rows.append(row)
        return rows

    def score(self, branch, ids) -> np.ndarray:
        scratch = ScriptedBranch(self, branch.ids)
        found = []
        for token in ids:
            found.append(scratch.logprobs()[token])
            scratch.append([token])
        return np.array(found, dtype=np.float32)

    def score_many(self, branch, drafts) -> list[float]:
        return [float(self.score(branch, draft).sum()) for draft in drafts]


class ScriptedBranch:
    """A branch of a `ScriptedModel`; it checks drafts, one distribution at a time."""

    def __init__(self, model: ScriptedModel, ids: Sequence[int]) -> None:
        self.model = model
        self.ids = list(ids)

    def logprobs(self) -> np.ndarray:
        return self.model.next_logprobs(self.ids)

    def append(self, ids: Sequence[int]) -> None:
        self.ids.extend(ids)

    def rebase(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        self.ids = [*prompt, *answer]

    def along(self, ids: Sequence[int]) -> np.ndarray:
        rows = [self.logprobs()]
        for token in ids:
            self.append([token])
            rows.append(self.logprobs())
        return np.stack(rows)


def tiny_model(prompts: Sequence[str], seed: int = 0, *, steps: int = 60, context: int = 4096) -> HuggingFaceModel:
    """A real transformers model, very small, taught for a moment to write any body of four lines after `prompts`."""
    pieces = ["?", "\n", "    ", "result", "value", "values", "start", "return ", "for ", " in ", " = ", " += ", " -= "]
    pieces += [":", "(", ")", "1", "2", "3", "4", "10", "[", "]", "if ", " + ", "total", "pass", "=> ", "open", "fail"]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, *SPECIAL_TOKENS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    longest = sorted(pieces[1:], key=len, reverse=True)
    pattern = "|".join(re.escape(piece) for piece in longest)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="?")
    fast.add_special_tokens({"additional_special_tokens": [t for t in SPECIAL_TOKENS if t != "<end>"]})
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=context, bos_token_id=None, pad_token_id=None,
        eos_token_id=vocabulary["<end>"],
    )  # fmt: skip
    torch.manual_seed(seed)
    network = transformers.LlamaForCausalLM(config)
    _teach(network, fast, prompts, random.Random(seed), steps)
    return HuggingFaceModel(f"tiny-{seed}", network.eval(), fast)


def _teach(network: Any, tokenizer: Any, prompts: Sequence[str], rng: random.Random, steps: int) -> None:
    names = ("result", "value", "values", "start")
    heads = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(steps):
        for head in heads:
            bodies = []
            for _ in range(6):
                a, b, c, d = (rng.choice(names) for _ in range(4))
                change = a + rng.choice((" += ", " -= ")) + c
                body = f"    {a} = {b}\n    for {c} in {d}:\n        {change}\n    return {a}\n<end>"
                bodies.append(tokenizer.encode(body, add_special_tokens=False))
            ids = torch.tensor([head + body for body in bodies])
            labels = ids.clone()
            labels[:, : len(head)] = -100
            network(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


class Frontier(BaseException):
    """What `raise __egcfg_frontier__()` raises in an `InProcessSession`."""


class OutOfSteps(BaseException):
    """The snippet ran for too many lines."""


class InProcessSession:
    """Runs snippets of the tests' own making in this process, with a trace; never for code of unknown origin.

    tests: node id to a function that takes the module's namespace and asserts. target: name of the traced function.
    """

    level = "swap"

    def __init__(self, target: str, tests: Mapping[str, Callable[[dict[str, Any]], None]], steps: int = 2000) -> None:
        self.target = target
        self.tests = tests
        self.steps = steps
        self.executions = 0
        self.sources: list[str] = []

    def execute(self, sources: Sequence[bytes], *, trace: bool = False, brief: bool = False) -> list[Execution]:
        self.executions += len(sources)
        self.sources += [source.decode() for source in sources]
        return [Execution(tuple(self._run(source, node, trace) for node in self.tests)) for source in sources]

    def __enter__(self) -> InProcessSession:
        return self

    def __exit__(self, *args: object) -> None:
        return None

    def _run(self, source: bytes, node: str, trace: bool) -> TestRun:
        recorder = _Recorder(self.target, self.steps)
        namespace: dict[str, Any] = {FRONTIER: Frontier, "__name__": "target"}
        outcome, exception, message = "passed", "", ""
        frames: tuple[Frame, ...] = ()
        before = sys.gettrace()
        try:
            code = compile(source, "<target>", "exec")
            exec(code, namespace)
            sys.settrace(recorder)
            self.tests[node](namespace)
        except Frontier:
            outcome = "frontier"
        except OutOfSteps:
            outcome = "timeout"
        except Exception as error:
            outcome, exception, message = "failed", type(error).__name__, str(error)
            steps = traceback.extract_tb(error.__traceback__)
            frames = tuple(Frame("target.py", s.lineno or 0, s.name) for s in steps if s.filename == "<target>")
        finally:
            sys.settrace(before)
        told = Trace(tuple(recorder.events)) if trace and recorder.events else None
        return TestRun(node, outcome, exception=exception, message=message, frames=frames, trace=told)


class _Recorder:
    """A trace function that keeps the target's lines with the variables that changed."""

    def __init__(self, target: str, steps: int) -> None:
        self.target, self.steps = target, steps
        self.events: list[TraceEvent] = []
        self.known: dict[int, dict[str, str]] = {}
        self.targets: set[CodeType] = set()

    def __call__(self, frame: FrameType, kind: str, value: Any) -> Any:
        if frame.f_code.co_filename != "<target>":
            return None
        self.steps -= 1
        if self.steps < 0:
            raise OutOfSteps
        if frame.f_code.co_name == self.target:
            self._keep(frame, kind, value)
        return self

    def _keep(self, frame: FrameType, kind: str, value: Any) -> None:
        now = {name: repr(item) for name, item in frame.f_locals.items()}
        before = self.known.get(id(frame), {})
        changed = tuple((name, text) for name, text in now.items() if before.get(name) != text)
        self.known[id(frame)] = now
        if kind == "line":
            self.events.append(TraceEvent("line", frame.f_lineno, 0, changed))
        elif kind == "return":
            self.events.append(TraceEvent("return", frame.f_lineno, 0, (("return", repr(value)),)))
        elif kind == "exception" and issubclass(value[0], Frontier):
            self.events.append(TraceEvent("frontier", frame.f_lineno, 0, tuple(now.items())))
        elif kind == "exception":
            self.events.append(TraceEvent("raise", frame.f_lineno, 0, (("raise", f"{value[0].__name__}: {value[1]}"),)))
