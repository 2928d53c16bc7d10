"""The HTTP half of an OpenAI-compatible server: completions with log-probabilities, retries, refusals in words.

What a server sends is untrusted and read field by field. The API key comes from the environment only, and goes into the
Authorization header only.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from bot.errors import ModelError
from bot.models.language_model import Usage

KEY = "EGCFG_ENDPOINT_KEY"
CHARACTERS = 3  # in a token, about: to estimate what a server does not count
ATTEMPTS = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
TIMEOUT = httpx.Timeout(300.0, connect=10.0)
_REFUSED = (400, 404, 405, 422)


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion. tokens, logprobs and tops are aligned; with `echo`, the prompt's come first."""

    text: str
    finish: str
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float | None, ...] = ()
    tops: tuple[dict[str, float], ...] = ()


class Server:
    """One server: requests, retries, and what a refusal means in words. `usage` counts what was asked of it."""

    def __init__(self, base: str, key: str, sleep: Callable[[float], None]) -> None:
        try:
            url = httpx.URL(base)
        except httpx.InvalidURL as error:
            raise ModelError(f"{base} is not a URL: {error}", hint="Use http://host:port/v1.") from None
        if url.userinfo:
            raise ModelError("The endpoint's URL holds credentials.", hint=f"Put the key into {KEY} instead.")
        if url.scheme not in ("http", "https") or not url.host:
            raise ModelError(f"{base} is not the URL of a server.", hint="Use http://host:port/v1.")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.place = f"{url.scheme}://{url.netloc.decode()}{url.path.rstrip('/')}"
        self.usage = Usage()
        self._client = httpx.Client(base_url=f"{self.place}/", headers=headers, timeout=TIMEOUT)
        weakref.finalize(self, self._client.close)
        self._sleep = sleep
        self._counting = threading.Lock()

    def models(self) -> list[dict[str, Any]]:
        """Return what the server says of each model it has. Raises ModelError when it cannot be asked."""
        reply = self._request("GET", "models")
        if reply.status_code == 404:
            raise ModelError(f"{self.place} has no models to list.", hint="The URL should end in /v1.")
        data = _json(reply, self.place).get("data")
        return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []

    def slot_context(self) -> int | None:
        """Return the context of one slot of a llama.cpp server, None for any other."""
        reply = self._request("GET", f"{self.place.removesuffix('/v1')}/props")
        if reply.status_code != 200:
            return None
        settings = _json(reply, self.place).get("default_generation_settings")
        found = settings.get("n_ctx") if isinstance(settings, dict) else None
        return found if isinstance(found, int) else None

    def complete(self, prompts: Sequence[str], **options: Any) -> list[Answer]:
        """Return one completion of each prompt. Raises Refusal when the server does not accept the request."""
        body = {"prompt": prompts[0] if len(prompts) == 1 else list(prompts), "stream": False, **options}
        reply = self._request("POST", "completions", json=body)
        if reply.status_code in _REFUSED:
            raise Refusal(reply.status_code, _reason(reply))
        data = _json(reply, self.place)
        choices = data.get("choices")
        if not isinstance(choices, list) or len(choices) != len(prompts):
            raise Refusal(reply.status_code, f"{len(prompts)} prompts gave another number of answers")
        answers = [_answer(choice, self.place) for choice in sorted(choices, key=_index)]
        self._count(data.get("usage"), prompts, answers)
        return answers

    def _count(self, told: Any, prompts: Sequence[str], answers: Sequence[Answer]) -> None:
        told = told if isinstance(told, dict) else {}
        details = told.get("prompt_tokens_details")
        cached = _whole(details.get("cached_tokens")) if isinstance(details, dict) else None
        read = _whole(told.get("prompt_tokens"))
        written = _whole(told.get("completion_tokens"))
        if read is None:
            read = sum(len(prompt) // CHARACTERS + 1 for prompt in prompts)
        if written is None:
            written = sum(len(answer.tokens) for answer in answers)
        with self._counting:
            self.usage.passes += max(1, written // len(prompts))
            self.usage.positions += max(0, read - (cached or 0)) + written

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the server's reply, asking again while it is overloaded or stumbling."""
        pause = FIRST_PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                reply = self._client.request(method, path, **options)
            except httpx.ConnectError as error:
                raise ModelError(
                    f"No server answers at {self.place}: {error}", hint="Start it, or check the URL given to --model."
                ) from None
            except httpx.TransportError as error:
                if attempt == ATTEMPTS:
                    raise ModelError(
                        f"{self.place} broke off {ATTEMPTS} times: {type(error).__name__}.", hint="See its log."
                    ) from None
            else:
                if reply.status_code != 429 and reply.status_code < 500:
                    return self._checked(reply)
                if attempt == ATTEMPTS or reply.status_code == 501:
                    raise ModelError(
                        f"{self.place} answered {reply.status_code} {attempt} times: {_reason(reply)}",
                        hint="It is overloaded: try later." if reply.status_code == 429 else "See its log.",
                    )
                pause = max(pause, _retry_after(reply))
            self._sleep(min(pause, LONGEST_PAUSE_S))
            pause *= 2
        raise AssertionError("unreachable")

    def _checked(self, reply: httpx.Response) -> httpx.Response:
        if reply.status_code in (401, 403):
            raise ModelError(f"{self.place} refused access ({reply.status_code}).", hint=f"Put a valid key into {KEY}.")
        if 300 <= reply.status_code < 400:
            raise ModelError(f"{self.place} redirects elsewhere.", hint="Give --model the server's final URL.")
        return reply


class Refusal(Exception):
    """The server does not accept a request."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def _reason(reply: httpx.Response) -> str:
    """Return what the server says about its refusal, cut to a line."""
    try:
        data = reply.json()
    except ValueError:
        data = None
    found: Any = data
    for name in ("error", "message"):
        found = found.get(name, found) if isinstance(found, dict) else found
    if isinstance(data, dict) and not isinstance(found, str):
        found = data.get("detail") or found
    return " ".join(str(found if found is not None else reply.text).split())[:300]


def _json(reply: httpx.Response, place: str) -> dict[str, Any]:
    try:
        data = reply.json()
    except ValueError:
        data = None
    if isinstance(data, list):  # llama.cpp: one answer for each prompt of a list
        lists = [part.get("choices") for part in data if isinstance(part, dict)]
        firsts = [choices[0] for choices in lists if isinstance(choices, list) and choices]
        data = {"choices": [{**one, "index": number} for number, one in enumerate(firsts) if isinstance(one, dict)]}
    if reply.status_code != 200 or not isinstance(data, dict):
        raise ModelError(
            f"{place} does not answer like an OpenAI-compatible server ({reply.status_code}).",
            hint="The URL should end in /v1.",
        )
    return data


def _index(choice: Any) -> int:
    found = choice.get("index") if isinstance(choice, dict) else 0
    return found if isinstance(found, int) else 0


def _retry_after(reply: httpx.Response) -> float:
    try:
        return max(0.0, float(reply.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _answer(choice: Any, place: str) -> Answer:
    """Read one choice, untrusted: with log-probabilities in the form of completions or of chats."""
    if not isinstance(choice, dict) or not isinstance(choice.get("text"), str):
        raise ModelError(f"{place} sent an answer without text.", hint="Is it a completions endpoint?")
    told = choice.get("logprobs")
    finish = str(choice.get("finish_reason") or "")
    if not isinstance(told, dict):
        return Answer(choice["text"], finish)
    content = told.get("content")
    if isinstance(content, list):
        entries = [entry for entry in content if isinstance(entry, dict)]
        tokens = tuple(str(entry.get("token", "")) for entry in entries)
        logprobs = tuple(_number(entry.get("logprob")) for entry in entries)
        tops = tuple(_listed(entry.get("top_logprobs")) for entry in entries)
        return Answer(choice["text"], finish, tokens, logprobs, tops)
    names, values, alternatives = (told.get(name) or [] for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not all(isinstance(part, list) for part in (names, values, alternatives)) or len(names) != len(values):
        raise ModelError(f"{place} sent log-probabilities of an unknown form.", hint="Update the server.")
    alternatives = [*alternatives, *[None] * (len(names) - len(alternatives))]
    return Answer(
        choice["text"],
        finish,
        tuple(str(name) for name in names),
        tuple(_number(value) for value in values),
        tuple(_listed(alternative) for alternative in alternatives[: len(names)]),
    )


def _number(value: Any) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    return min(0.0, max(-1e4, float(value))) if usable else None


def _listed(alternatives: Any) -> dict[str, float]:
    """Return token strings with their log-probabilities; strings that hold half a character are left out."""
    if isinstance(alternatives, list):
        entries = [entry for entry in alternatives if isinstance(entry, dict)]
        pairs = [(str(entry.get("token", "")), entry.get("logprob")) for entry in entries]
    else:
        pairs = list(alternatives.items()) if isinstance(alternatives, dict) else []
    found: dict[str, float] = {}
    for token, value in pairs:
        number = _number(value)
        if number is not None and "\N{REPLACEMENT CHARACTER}" not in token and not token.startswith("bytes:"):
            found[token] = float(np.logaddexp(found[token], number)) if token in found else number
    return found
