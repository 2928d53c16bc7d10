"""A language model behind an OpenAI-compatible completions endpoint with log-probabilities (vLLM, llama.cpp server).

The server's tokenizer is unknown, so a sequence is its text here: a table gives every token string met so far an id,
and `encode` cuts text into strings of that table. A distribution holds what the server lists; the mass it does not list
is spread evenly over the other slots of a vector of fixed length, so that vectors of two branches always have the same
shape, and a token that only one branch lists has a small probability in the other instead of none. Drafts are scored
from the log-probabilities of an echoed prompt where the server gives them, else from the distribution at each token.
How the server is asked stands in `server`.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bot.decoding.prompt import ChatTemplate, Style
from bot.errors import ModelError
from bot.models.language_model import Array, Branch, Stop
from bot.models.server import KEY, Answer, Refusal, Server

LOGPROBS = (20, 10, 5, 1)  # how many to ask for: the first that the server accepts
SLOTS = 1 << 15  # length of a distribution; doubled between bodies when the table of strings fills up
DEFAULT_CONTEXT = 4096
BATCH = 32  # prompts in one request
CHUNK = 48  # tokens sampled in one request, before it is seen whether a continuation may stop
MEMORY = 4096  # distributions remembered
UNLISTED = 1e-6  # least mass kept for tokens that the server does not list

# Strings by which servers show end tokens; "" is how some show every special token.
END_TOKENS = (
    "<|endoftext|>", "</s>", "", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "<|EOT|>", "<eos>", "<end>",
    "<end_of_turn>", "<|return|>", "<｜end▁of▁sentence｜>", "<|endofprompt|>", "<|eom_id|>",
)  # fmt: skip
_PIECE = re.compile(r"\n+| ?\w+| ?[^\w\s]+|[^\S\n]+(?!\S)|[^\S\n]+")


def connect(
    url: str, *, environment: Mapping[str, str] = os.environ, sleep: Callable[[float], None] = time.sleep
) -> EndpointModel:
    """Ask the server at `url` ("http://host:port/v1#model-name") what it can do, and return its model.

    Without a name the server's first model is taken. Raises ModelError when it cannot be reached or used.
    """
    base, _, model = url.partition("#")
    server = Server(base.rstrip("/"), environment.get(KEY, ""), sleep)
    listed = server.models()
    names = [str(entry.get("id")) for entry in listed]
    if model and names and model not in names:
        raise ModelError(f"{server.place} does not serve {model}.", hint=f"It serves {', '.join(names[:5])}.")
    if not model and not names:
        raise ModelError(f"{server.place} lists no models.", hint="Name one: --model http://host:port/v1#model-name.")
    model = model or names[0]
    card = next((entry for entry in listed if entry.get("id") == model), {})
    return EndpointModel(server, model, _context(card, server))


def _context(card: Mapping[str, Any], server: Server) -> int:
    """Return how many tokens the model can attend to, as vLLM or llama.cpp tell it."""
    meta = card.get("meta")
    found = [card.get("max_model_len"), card.get("context_length"), card.get("context_window")]
    found += [meta.get("n_ctx"), server.slot_context(), meta.get("n_ctx_train")] if isinstance(meta, dict) else []
    return next((value for value in found if isinstance(value, int) and value > 0), DEFAULT_CONTEXT)


class EndpointModel:
    """A model behind the `LanguageModel` protocol that lives on a server."""

    style: Style = "instruct"
    chat: ChatTemplate | None = None  # the server's template is not known here: plain text

    def __init__(self, server: Server, model: str, context: int) -> None:
        """Try one completion: how many log-probabilities, and whether the prompt's too. Raises ModelError."""
        self.name = f"{model} at {server.place}"
        self.context = context
        self.usage = server.usage
        self.fingerprint = hashlib.sha256(f"{server.place}#{model}".encode()).hexdigest()
        self._server, self._model = server, model
        self._strings: list[str] = []
        self._ids: dict[str, int] = {}
        self._told: set[str] = set()  # strings that are the server's own tokens
        self._longest = 1
        self._slots = SLOTS
        self._known: OrderedDict[str, dict[str, float]] = OrderedDict()
        self._batches = True
        for end in END_TOKENS:
            self._id(end)
        self._end_ids = frozenset(range(len(END_TOKENS)))
        self._count = self._find_count()
        self._echo = self._find_echo()

    def _find_count(self) -> int:
        """Return how many log-probabilities the server gives."""
        reason = ""
        for count in LOGPROBS:
            try:
                answer = self._complete(["def f(x):\n    return"], max_tokens=1, temperature=0.0, logprobs=count)[0]
            except Refusal as refusal:
                reason = refusal.reason
                if refusal.status == 404:
                    break
                continue
            if answer.tops and answer.tops[0]:
                return count
            raise ModelError(
                f"{self.name} returns no log-probabilities.",
                hint="Guidance needs them: use vLLM or llama.cpp's server.",
            )
        raise ModelError(f"{self.name} refuses completions: {reason}", hint="It must offer /v1/completions.")

    def _find_echo(self) -> dict[str, Any] | None:
        """Return the options that make the server tell a prompt's log-probabilities; None if it does not."""
        text = "def f(x):\n    return x\n"
        for most in (0, 1):
            options = {"echo": True, "max_tokens": most, "logprobs": 1, "temperature": 0.0}
            try:
                answer = self._complete([text], **options)[0]
            except Refusal:
                continue
            if _prompt_part(answer, text, most, len(text) // 2) is not None:
                return options
        return None

    # text and ids

    @property
    def end_ids(self) -> frozenset[int]:
        return self._end_ids

    def encode(self, text: str) -> list[int]:
        """Cut `text` into strings of the server where they are known, else into words, spaces and signs.

        The cut may be another one once more of the server's tokens are known; the text is always the same.
        """
        return [self._id(piece) for piece in self._pieces(text)]

    def _pieces(self, text: str) -> Iterator[str]:
        place = 0
        while place < len(text):
            piece = self._piece(text, place)
            yield piece
            place += len(piece)

    def _piece(self, text: str, place: int) -> str:
        """Return what the server would probably take for the next token."""
        match = _PIECE.match(text, place)
        word = match[0] if match else text[place]
        known = self._longest_told(text, place, len(text))
        if len(known) >= len(word):
            return known
        end = place
        while end < place + len(word):  # a word in parts, if all of them are known
            part = self._longest_told(text, end, place + len(word))
            if len(part) < 2:
                return word
            end += len(part)
        return known

    def _longest_told(self, text: str, place: int, end: int) -> str:
        for length in range(min(self._longest, end - place), 0, -1):
            if text[place : place + length] in self._told:
                return text[place : place + length]
        return ""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join("" if token in self._end_ids else self._strings[token] for token in ids)

    def _id(self, string: str) -> int:
        if string not in self._ids:
            self._ids[string] = len(self._strings)
            self._strings.append(string)
        return self._ids[string]

    def _learn(self, strings: Sequence[str]) -> None:
        for string in strings:
            if string not in self._told and string not in END_TOKENS:
                self._told.add(string)
                self._longest = max(self._longest, min(len(string), 64))
            self._id(string)

    # branches

    def branch(self, ids: Sequence[int]) -> Branch:
        while len(self._strings) > self._slots * 3 // 4:
            self._slots *= 2
        return _Branch(self, ids)

    def advance(self, branches: Sequence[Branch]) -> list[Array]:
        return list(self.distributions([self.decode(branch.ids) for branch in branches]))

    def distributions(self, texts: Sequence[str]) -> Array:
        """Return the next-token distributions after `texts`, shape (len(texts), V), in as few requests as possible."""
        found = {text: self._known[text] for text in texts if text in self._known}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        options = {"max_tokens": 1, "temperature": 0.0, "logprobs": self._count}
        for text, answer in zip(missing, self._ask(missing, **options), strict=True):
            listed = answer.tops[0] if answer.tops else {}
            if not listed and answer.finish == "stop":
                listed = {"": -UNLISTED}  # an end token that the server does not show
            if not listed:
                raise ModelError(f"{self.name} returned no log-probabilities.", hint="See the server's log.")
            self._learn(list(listed))
            found[text] = self._known[text] = listed
        while len(self._known) > MEMORY:
            self._known.popitem(last=False)
        return np.stack([self._row(found[text]) for text in texts])

    def _row(self, listed: Mapping[str, float]) -> Array:
        pairs = [(self._ids[string], value) for string, value in listed.items() if self._ids[string] < self._slots]
        mass = sum(np.exp(value) for _, value in pairs)
        rest = max(1.0 - mass, UNLISTED)
        row = np.full(self._slots, np.log(rest / max(1, self._slots - len(pairs))), dtype=np.float32)
        for place, value in pairs:
            row[place] = value
        return row - np.float32(np.log(mass + rest))

    # sampling

    def sample(
        self,
        branch: Branch,
        count: int,
        *,
        temperature: float,
        top_p: float,
        seed: int,
        limit: int,
        stop: Stop,
    ) -> list[list[int]]:
        text = self.decode(branch.ids)
        most = max(0, min(limit, self.context - len(branch.ids)))

        def row(number: int) -> list[str]:
            options = {"temperature": temperature, "top_p": top_p}
            return self._sampled(text, most, stop, seed=(seed + number) % (1 << 31), **options)

        with ThreadPoolExecutor(max(1, count)) as pool:
            rows = list(pool.map(row, range(count)))
        for strings in rows:
            self._learn([string for string in strings if string])
        self.usage.tokens += sum(len(strings) for strings in rows)
        return [[self._ids[string] for string in strings] for strings in rows]

    def _sampled(self, text: str, limit: int, stop: Stop, *, seed: int, **options: Any) -> list[str]:
        """Return the token strings of one continuation; "" is the end token."""
        strings: list[str] = []
        while len(strings) < limit:
            most = min(CHUNK, limit - len(strings))
            asked = {"max_tokens": most, "logprobs": 1, "seed": (seed + len(strings)) % (1 << 31), **options}
            answer = self._ask([text + "".join(strings)], **asked)[0]
            for string in self._split(answer):
                strings.append(string)
                if stop("".join(strings)):
                    return strings
            if answer.finish != "length":
                return [*strings, ""] if answer.finish == "stop" else strings
        return strings

    def _split(self, answer: Answer) -> list[str]:
        """Return the completion's tokens without its end token; words and signs where the tokens do not add up."""
        tokens = list(answer.tokens)
        while tokens and tokens[-1] in END_TOKENS and "".join(tokens) != answer.text:
            tokens.pop()
        tokens = [token for token in tokens if token]
        if "".join(tokens) == answer.text:
            return tokens
        return list(self._pieces(answer.text))

    # scoring

    def score(self, branch: Branch, ids: Sequence[int]) -> Array:
        """See `LanguageModel.score`; where the server cuts the text elsewhere, a token counts where it begins."""
        return self._scores(self.decode(branch.ids), [ids])[0]

    def score_many(self, branch: Branch, drafts: Sequence[Sequence[int]]) -> list[float]:
        return [float(scores.sum()) for scores in self._scores(self.decode(branch.ids), drafts)]

    def _scores(self, before: str, drafts: Sequence[Sequence[int]]) -> list[Array]:
        scores = [np.zeros(len(draft), dtype=np.float32) for draft in drafts]
        open_ = [number for number, draft in enumerate(drafts) if draft]
        if self._echo is not None:
            texts = [before + self.decode(drafts[number]) for number in open_]
            left = []
            for number, text, answer in zip(open_, texts, self._ask(texts, **self._echo), strict=True):
                part = _prompt_part(answer, text, self._echo["max_tokens"], len(before))
                if part is None:
                    left.append(number)
                else:
                    scores[number] = self._allocated(drafts[number], part)
            open_ = left
        starts = {number: self._prefixes(before, drafts[number]) for number in open_}
        if starts:  # the server is asked for all at once; the rows then come from memory, one draft at a time
            self._prefetch([text for texts in starts.values() for text in texts])
        for number, texts in starts.items():
            ids = np.asarray(drafts[number])
            rows = self.distributions(texts)
            listed = rows[np.arange(len(ids)), np.minimum(ids, self._slots - 1)]
            scores[number] = np.where(ids < self._slots, listed, rows.min(axis=1))
        return scores

    def _prefetch(self, texts: Sequence[str]) -> None:
        unique = list(dict.fromkeys(texts))
        for start in range(0, len(unique), BATCH):
            self.distributions(unique[start : start + BATCH])

    def _prefixes(self, before: str, draft: Sequence[int]) -> list[str]:
        return [before + self.decode(draft[:length]) for length in range(len(draft))]

    def _allocated(self, draft: Sequence[int], part: Sequence[tuple[int, str, float]]) -> Array:
        """Give each of the server's tokens, (offset in the draft, string, log p), to the token it begins in."""
        ends = np.cumsum([len(self.decode([token])) for token in draft])
        scores = np.zeros(len(draft), dtype=np.float32)
        for offset, _, value in part:
            scores[min(int(np.searchsorted(ends, max(0, offset), side="right")), len(draft) - 1)] += value
        self._learn([string for _, string, _ in part])
        return scores

    # requests

    def _ask(self, prompts: Sequence[str], **options: Any) -> list[Answer]:
        """Return the completions of all prompts; a refusal becomes an error that says what to do."""
        try:
            return [answer for batch in self._cut(prompts) for answer in self._complete(batch, **options)]
        except Refusal as refusal:
            if "context" in refusal.reason.lower() or "too long" in refusal.reason.lower():
                raise ModelError(
                    f"The prompt does not fit in the context of {self.name}: {refusal.reason}",
                    hint="Start the server with a longer context, or use fewer and shorter tests.",
                ) from None
            raise ModelError(f"{self.name} refuses: {refusal.reason}", hint="See the server's log.") from None

    def _cut(self, prompts: Sequence[str]) -> Iterator[Sequence[str]]:
        size = BATCH if self._batches else 1
        for start in range(0, len(prompts), size):
            yield prompts[start : start + size]

    def _complete(self, prompts: Sequence[str], **options: Any) -> list[Answer]:
        """Return the completions of a batch, one prompt at a time from the moment the server refuses several."""
        if self._batches or len(prompts) == 1:
            try:
                return self._server.complete(prompts, model=self._model, **options)
            except Refusal:
                if len(prompts) == 1:
                    raise
        answers = [self._server.complete([prompt], model=self._model, **options)[0] for prompt in prompts]
        self._batches = False  # only now: had each been refused alone too, batches were not to blame
        return answers


def _prompt_part(answer: Answer, text: str, written: int, start: int) -> list[tuple[int, str, float]] | None:
    """Return (offset from `start`, string, log p) of the tokens that end beyond `start` in the echoed `text`.

    written: how many tokens the server may have written after the prompt. None when the prompt's are not there, or do
    not add up to its text. Offsets are counted from the end: a server may put a start token in front.
    """
    for extra in dict.fromkeys((min(written, 1), 0)):
        tokens = answer.tokens[: len(answer.tokens) - extra]
        values = answer.logprobs[: len(tokens)]
        found: list[tuple[int, str, float]] = []
        end = len(text)
        for token, value in zip(reversed(tokens), reversed(values), strict=True):
            begin = end - len(token)
            if end <= start:
                break
            if value is None or begin < 0 or text[begin:end] != token:
                found = []
                break
            found.append((begin - start, token, value))
            end = begin
        if found and end <= start:
            return found[::-1]
    return None


class _Branch:
    """A text on its way; nothing of it is kept here but the text: the server caches prefixes."""

    def __init__(self, model: EndpointModel, ids: Sequence[int]) -> None:
        self.ids: list[int] = list(ids)
        self._model = model

    def append(self, ids: Sequence[int]) -> None:
        self.ids.extend(ids)

    def rebase(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        self.ids = [*prompt, *answer]

    def logprobs(self) -> Array:
        row: Array = self._model.distributions([self._model.decode(self.ids)])[0]
        return row

    def along(self, ids: Sequence[int]) -> Array:
        """See `DraftBranch.along`: one request with a prompt for each place, which a prefix cache makes cheap."""
        before = self._model.decode(self.ids)
        texts = [before + self._model.decode(ids[:length]) for length in range(len(ids) + 1)]
        self.ids.extend(ids)
        return self._model.distributions(texts)
