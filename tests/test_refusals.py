"""What GitHub's refusals mean: waited out, or said with what a person can do."""

from __future__ import annotations

import pytest

from bot.refusals import Reply, meaning, waiting_s

NOW = 1_800_000_000.0


def reply(status: int, message: str = "", *, path: str = "/repos/o/n/pulls", **headers: str) -> Reply:
    return Reply("POST", path, status, message, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("given", "attempt", "seconds"),
    [
        (reply(429, retry_after="7"), 1, 7),
        (reply(403, "You have exceeded a secondary rate limit", retry_after="30"), 3, 30),
        (reply(403, "You have exceeded a secondary rate limit"), 1, 60),
        (reply(403, "You have exceeded a secondary rate limit"), 3, 240),
        (reply(403, "abuse detection"), 1, 60),
        (reply(403, "API rate limit exceeded", x_ratelimit_remaining="0", x_ratelimit_reset=str(int(NOW) + 90)), 1, 91),
        (reply(429, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(NOW) - 90)), 1, 1),
        (reply(503, retry_after="Fri, 15 Jan 2027 08:00:10 GMT"), 1, 10),
        (reply(503, retry_after="soon"), 1, 60),
        (reply(500), 1, 1),
        (reply(502), 3, 4),
        (reply(403, "Resource not accessible by integration"), 1, None),
        (reply(403, "no", x_ratelimit_remaining="12"), 1, None),
        (reply(401, "Bad credentials"), 1, None),
        (reply(422, "Validation Failed"), 1, None),
        (reply(404, "Not Found"), 1, None),
    ],
)
def test_only_limits_and_server_errors_are_waited_out_as_long_as_github_says(given, attempt, seconds):
    assert waiting_s(given, attempt, NOW) == seconds


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (reply(401, "Bad credentials"), "expired"),
        (reply(403, "Resource not accessible by integration"), "`pull-requests: write`"),
        (reply(403, "no", path="/repos/o/n/git/refs"), "`contents: write`"),
        (reply(403, "no", path="/repos/o/n/actions/workflows/ci.yml/dispatches"), "`actions: write`"),
        (reply(403, "no", x_accepted_github_permissions="administration=write"), "`administration: write`"),
        (reply(403, "GitHub Actions is not permitted to create or approve pull requests."), "Workflow permissions"),
        (reply(403, "Resource protected by organization SAML enforcement."), "SSO"),
        (reply(403, "Repository was archived so is read-only."), "Nothing can be published"),
        (reply(403, "Protected branch update failed"), "--branch-prefix"),
        (reply(403, "API rate limit exceeded"), "goes on where it stopped"),
        (reply(404, "Not Found"), "--repository"),
        (reply(410, "Issues are disabled"), "switched off"),
        (reply(422, "refusing to allow an app to change a workflow without `workflows` permission"), "never changes"),
        (reply(422, "creations being restricted by a repository rule"), "--branch-prefix"),
        (reply(502, "Bad gateway"), "later"),
    ],
)
def test_every_refusal_says_what_is_missing_or_what_to_do(given, said):
    message, hint = meaning(given)
    assert message
    assert said in message + hint
