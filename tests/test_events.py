"""The gate of the GitHub Action, on GitHub's own example payloads; each edited one still fits GitHub's schema."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from action import events
from action.events import Head, Skip, Surroundings, check_tokens, subject
from action.subject import Subject, from_text, parse, to_text
from bot.errors import EgcfgError, EventError

OURS = "octo-org/octo-repo"
SHA, OTHER = "a" * 40, "b" * 40
SCHEMAS = {"workflow_dispatch": "workflow_dispatch$event"}


class Payloads:
    """GitHub's examples of each event, the ones that fit their own schema."""

    def __init__(self, counterparts):
        packages = counterparts / "node_modules/@octokit"
        listed = json.loads((packages / "webhooks-examples/api.github.com/index.json").read_bytes())
        self._definitions = json.loads((packages / "webhooks-schemas/schema.json").read_bytes())["definitions"]
        self._examples = {one["name"]: one["examples"] for one in listed}
        self._validators, self._spoilt = {}, {}

    def fits(self, event, payload):
        if event not in self._validators:
            names = [name for name in self._definitions if name == SCHEMAS.get(event, f"{event}_event")]
            reference = f"#/definitions/{names[0]}" if names else f"#/definitions/{event}$event"
            self._validators[event] = Draft7Validator({"definitions": self._definitions, "$ref": reference})
        return self._validators[event].is_valid(payload)

    def examples(self, event):
        return [copy.deepcopy(one) for one in self._examples[event]]

    def to_spoil(self, event):
        """Return an example without its long lists of URLs, and the places in it."""
        if event not in self._spoilt:
            kept = {"id", "sha", "ref", "number", "body", "login", "type", "full_name", "message", "default_branch"}
            named = {"action", "after", "deleted", "path", "conclusion", "event", "head_sha", "head_branch", "state"}

            def thin(value):
                if isinstance(value, dict):
                    return {k: thin(v) for k, v in value.items() if k in kept | named or isinstance(v, (dict, list))}
                return [thin(item) for item in value] if isinstance(value, list) else value

            payload = thin(self.examples(event)[-1])
            self._spoilt[event] = json.dumps(payload), list(places(payload))
        text, used = self._spoilt[event]
        return json.loads(text), used

    def one(self, event, chosen=lambda payload: True):
        for payload in reversed(self.examples(event)):
            if chosen(payload) and self.fits(event, payload):
                payload["repository"]["full_name"] = OURS
                return payload
        raise AssertionError(f"no example of {event}")


@pytest.fixture(scope="module")
def payloads(counterparts):
    return Payloads(counterparts)


def around(event, **changes):
    known = {"ref": "refs/heads/main", "commit": SHA, "workflow": ".github/workflows/egcfg-fix.yml"} | changes
    return Surroundings(event, OURS, **known)


class Api:
    """Answers as GitHub's API would, and notes what it was asked."""

    def __init__(self, role="write", **head):
        self.role, self.asked = role, []
        self.answer = Head(
            **({"commit": OTHER, "branch": "topic", "repository": OURS, "base": "main", "state": "open"} | head)
        )

    def permission(self, login):
        self.asked.append(login)
        return self.role

    def head(self, number):
        self.asked.append(number)
        return self.answer


def skipped(*arguments, **options):
    with pytest.raises(Skip) as caught:
        subject(*arguments, **options)
    return caught.value


# workflow_run


@pytest.fixture
def failed_run(payloads):
    payload = payloads.one(
        "workflow_run", lambda one: one["action"] == "completed" and not one["workflow_run"]["pull_requests"]
    )
    payload["workflow_run"] |= {"conclusion": "failure", "event": "push", "head_sha": OTHER, "head_branch": "topic"}
    payload["workflow_run"]["head_repository"]["full_name"] = OURS
    assert payloads.fits("workflow_run", payload)
    return payload


def test_a_failed_run_is_about_its_own_head_and_not_about_the_default_branch(failed_run):
    found = subject(around("workflow_run"), failed_run)
    assert found == Subject("workflow_run", OURS, OTHER, "topic", head=OURS)
    assert not found.fork


def test_a_failed_run_of_a_pull_request_names_it_and_is_untrusted(failed_run, payloads):
    link = {"ref": "main", "sha": SHA, "repo": {"id": 1, "url": "https://api.github.com/x", "name": "octo-repo"}}
    head = link | {"ref": "topic", "sha": OTHER}
    request = {"url": "https://api.github.com/x", "id": 1, "number": 7, "head": head, "base": link}
    failed_run["workflow_run"] |= {"event": "pull_request", "pull_requests": [request]}
    assert payloads.fits("workflow_run", failed_run)
    found = subject(around("workflow_run"), failed_run)
    assert (found.pull_request, found.base, found.untrusted) == (7, "main", True)
    request["head"]["sha"] = SHA  # some other pull request of the same branch
    assert subject(around("workflow_run"), failed_run).pull_request == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"conclusion": "success"}, "did not fail"),
        ({"conclusion": "cancelled"}, "did not fail"),
        ({"conclusion": None}, "did not fail"),
        ({"head_branch": "egcfg-fix/main/0123456789"}, "branch of egcfg-fix itself"),
        ({"event": "merge_group"}, "merge queue"),
        ({"head_branch": "gh-readonly-queue/main/pr-7-abc"}, "merge queue"),
        ({"head_branch": None}, "no branch"),
        ({"path": ".github/workflows/egcfg-fix.yml"}, "this very workflow"),
        ({"path": ".github/workflows/egcfg-fix.yml@main"}, "this very workflow"),
    ],
)
def test_a_run_that_is_none_of_ours_is_skipped_without_a_hint(failed_run, changes, said):
    failed_run["workflow_run"] |= changes
    found = skipped(around("workflow_run"), failed_run)
    assert said in found.reason
    assert found.hint == ""


def test_no_example_of_github_makes_the_gate_stumble(payloads):
    seen = set()
    for event in (
        "workflow_run",
        "pull_request",
        "push",
        "workflow_dispatch",
        "repository_dispatch",
        "issue_comment",
        "merge_group",
    ):
        for payload in payloads.examples(event):
            try:
                seen.add(type(subject(around(event), payload, ask=Api())).__name__)
            except Skip:
                seen.add("Skip")
            except EventError:
                assert not payloads.fits(event, payload)
    assert seen == {"Subject", "Skip"}


# Forks


def fork_cases(payloads, failed_run):
    failed_run["workflow_run"] |= {"event": "pull_request"}
    failed_run["workflow_run"]["head_repository"]["full_name"] = "mallory/octo-repo"
    request = payloads.one("pull_request", lambda one: one["action"] == "synchronize")
    request["pull_request"]["head"]["repo"]["full_name"] = "mallory/octo-repo"
    gone = copy.deepcopy(request)
    gone["pull_request"]["head"]["repo"] = None
    return [("workflow_run", failed_run), ("pull_request", request), ("pull_request", gone)]


def test_code_from_forks_is_refused_with_the_reason_and_the_safe_way(payloads, failed_run):
    for event, payload in fork_cases(payloads, failed_run):
        found = skipped(around(event), payload)
        assert "not from octo-org/octo-repo" in found.reason
        assert "two jobs" in found.hint
        assert "allow-forks" in found.hint


def test_forks_that_are_allowed_are_untrusted(payloads, failed_run):
    for event, payload in fork_cases(payloads, failed_run):
        found = subject(around(event), payload, allow_forks=True)
        assert found.fork
        assert found.untrusted


def test_a_fork_cannot_have_itself_skipped_by_the_name_of_its_branch(payloads, failed_run):
    for event, payload in fork_cases(payloads, failed_run)[:2]:
        part = payload["workflow_run"] if event == "workflow_run" else payload["pull_request"]["head"]
        part["head_branch" if event == "workflow_run" else "ref"] = "egcfg-fix/main/0123456789"
        assert "forks" in skipped(around(event), payload).reason


# pull_request, push, schedule, dispatch, merge queues


def test_a_pull_request_is_about_its_head_and_not_about_the_merge_commit(payloads):
    payload = payloads.one("pull_request", lambda one: one["action"] == "synchronize")
    for side in ("head", "base"):
        payload["pull_request"][side]["repo"]["full_name"] = OURS
    assert payloads.fits("pull_request", payload)
    found = subject(around("pull_request", ref="refs/pull/2/merge"), payload)
    head = payload["pull_request"]["head"]
    assert (found.commit, found.branch, found.base) == (
        head["sha"],
        head["ref"],
        payload["pull_request"]["base"]["ref"],
    )
    assert found.pull_request == payload["number"]
    assert found.untrusted
    payload["pull_request"]["body"] = "<!-- egcfg-fix:key=1 -->"
    assert "egcfg-fix itself" in skipped(around("pull_request"), payload).reason
    payload["action"] = "closed"
    assert "closed" in skipped(around("pull_request"), payload).reason


def test_a_push_is_about_what_was_pushed(payloads):
    payload = payloads.one("push", lambda one: one["ref"].startswith("refs/heads/"))
    payload |= {"after": OTHER, "deleted": False}
    assert payloads.fits("push", payload)
    assert subject(around("push"), payload) == Subject("push", OURS, OTHER, "master", head=OURS)
    for changes, said in (
        ({"ref": "refs/tags/v1"}, "no branch"),
        ({"deleted": True}, "deleted"),
        ({"after": "0" * 40}, "deleted"),
        ({"ref": "refs/heads/egcfg-fix/main/1"}, "egcfg-fix itself"),
        ({"ref": "refs/heads/gh-readonly-queue/main/x"}, "merge queue"),
    ):
        assert said in skipped(around("push"), payload | changes).reason


def test_our_own_commit_on_somebodys_branch_is_skipped_and_on_the_default_branch_it_is_not(payloads):
    payload = payloads.one("push", lambda one: one["ref"].startswith("refs/heads/"))
    commit = {"id": OTHER, "message": f"Repair add\n\n{events.SIGNATURE}0.1.0): review it before merging.\n"}
    payload |= {"after": OTHER, "deleted": False, "head_commit": commit, "ref": "refs/heads/topic"}
    assert "egcfg-fix itself" in skipped(around("push"), payload).reason
    payload["ref"] = f"refs/heads/{payload['repository']['default_branch']}"
    assert subject(around("push"), payload).commit == OTHER


def test_the_signature_is_the_one_of_our_commits():
    from bot.wording import commit_message
    from tests.test_workflow import outcome, repaired

    done = outcome(repaired())
    with pytest.raises(Skip):
        events.check_message(commit_message(done, [done.repairs[0].patch]))


@pytest.mark.parametrize(
    "payload", [{}, {"schedule": "17 4 * * *"}, {"inputs": None}, {"schedule": "x", "repository": {}}]
)
@pytest.mark.parametrize("event", ["schedule", "workflow_dispatch", "repository_dispatch"])
def test_a_schedule_and_a_dispatch_take_the_branch_from_the_runner(event, payload):
    assert subject(around(event), payload) == Subject(event, OURS, SHA, "main", head=OURS)
    assert "no branch" in skipped(around(event, ref="refs/tags/v1"), payload).reason


def test_a_merge_queue_is_skipped(payloads):
    assert "merge queue" in skipped(around("merge_group"), payloads.one("merge_group")).reason


def test_pull_request_target_is_refused_whatever_it_brings(payloads):
    with pytest.raises(EventError, match="rights and secrets") as caught:
        subject(around("pull_request_target"), payloads.one("pull_request"), allow_forks=True)
    assert "two jobs" in caught.value.hint


def test_an_unknown_event_is_an_error_that_lists_the_known_ones():
    with pytest.raises(EventError, match="release") as caught:
        subject(around("release"), {})
    assert "workflow_run" in caught.value.hint


# Comments


@pytest.fixture
def comment(payloads):
    payload = payloads.one("issue_comment", lambda one: one["action"] == "created")
    url = "https://api.github.com/repos/octo-org/octo-repo/pulls/1"
    payload["issue"]["pull_request"] = {"url": url, "html_url": url, "diff_url": url, "patch_url": url}
    payload["comment"] |= {"body": "/egcfg-fix please\nthanks", "author_association": "NONE"}
    payload["comment"]["user"] |= {"login": "hubot", "type": "User"}
    assert payloads.fits("issue_comment", payload)
    return payload


@pytest.mark.parametrize("role", ["admin", "maintain", "write"])
def test_a_writer_may_command_even_when_the_association_does_not_show_it(comment, role):
    comment["comment"]["body"] = "/egcfg-fix"
    api = Api(role)
    found = subject(around("issue_comment"), comment, ask=api)
    assert found == Subject("issue_comment", OURS, OTHER, "topic", comment["issue"]["number"], "main", OURS, True)
    assert api.asked == ["hubot", comment["issue"]["number"]]


@pytest.mark.parametrize("role", ["triage", "read", "none", "", "WRITE"])
def test_others_may_not_command_even_when_the_association_says_owner(comment, role):
    comment["comment"] |= {"body": "/egcfg-fix", "author_association": "OWNER"}
    api = Api(role)
    found = skipped(around("issue_comment"), comment, ask=api)
    assert "may not write" in found.reason
    assert found.hint
    assert api.asked == ["hubot"]  # the pull request is not even looked at


@pytest.mark.parametrize(
    "body",
    ["", "please run /egcfg-fix", "/egcfg-fixed", "> /egcfg-fix", "`/egcfg-fix`", "text\n/egcfg-fix", "/EGCFG-FIX"],
)
def test_only_a_comment_that_begins_with_the_command_is_one(comment, body):
    comment["comment"]["body"] = body
    api = Api()
    assert "begin" in skipped(around("issue_comment"), comment, ask=api).reason
    assert api.asked == []


def test_comments_of_bots_edits_and_comments_on_issues_are_skipped_unasked(comment):
    api = Api()
    for change in (
        lambda one: one.update(action="edited"),
        lambda one: one["issue"].pop("pull_request"),
        lambda one: one["comment"]["user"].update(type="Bot"),
        lambda one: one["comment"]["user"].update(login="a/../../b"),
    ):
        payload = copy.deepcopy(comment)
        payload["comment"]["body"] = "/egcfg-fix"
        change(payload)
        skipped(around("issue_comment"), payload, ask=api)
    assert api.asked == []


def test_a_comment_may_name_the_commit_that_was_read_and_for_a_fork_it_must(comment):
    def said(body, api):
        comment["comment"]["body"] = body
        return subject(around("issue_comment"), comment, ask=api, allow_forks=True).commit

    fork = Api(repository="mallory/octo-repo")
    assert said(f"/egcfg-fix {OTHER[:7]}", fork) == said(f"/egcfg-fix {OTHER.upper()}", Api()) == OTHER
    for body, api in (("/egcfg-fix", fork), (f"/egcfg-fix {SHA[:10]}", Api()), ("/egcfg-fix now", Api())):
        with pytest.raises(Skip):
            said(body, api)


def test_a_comment_on_a_closed_pull_request_is_skipped(comment):
    comment["comment"]["body"] = "/egcfg-fix"
    assert "closed" in skipped(around("issue_comment"), comment, ask=Api(state="closed")).reason


def test_without_the_api_a_comment_is_an_error_that_names_the_gate(comment):
    comment["comment"]["body"] = "/egcfg-fix"
    with pytest.raises(EventError) as caught:
        subject(around("issue_comment"), comment)
    assert "command: gate" in caught.value.hint


# Untrusted payloads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value, path=()):
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_payload_with_anything_in_any_place_is_a_subject_a_skip_or_an_error_of_ours(data, payloads):
    event = data.draw(st.sampled_from(["workflow_run", "pull_request", "push", "issue_comment", "workflow_dispatch"]))
    payload, used = payloads.to_spoil(event)
    for _ in range(data.draw(st.integers(1, 3))):
        target, place = payload, data.draw(st.sampled_from(used))
        for key in place[:-1]:
            target = (
                target[key]
                if isinstance(target, (dict, list)) and (key in target or isinstance(target, list))
                else None
            )
        if isinstance(target, dict):
            target[place[-1]] = data.draw(JSON)
    try:
        found = subject(around(event), payload, ask=Api(), allow_forks=True)
    except (Skip, EgcfgError):
        return
    assert from_text(to_text(found), OURS) == found


@pytest.mark.parametrize(
    "branch",
    ["-x", "a..b", "a b", "a\nb", "a\x1b[0m", "a~1", "/a", "a/", "a.lock", "a//b", "a@{1}", "\ud800", "", "a" * 300],
)
def test_a_branch_that_git_would_not_take_is_refused(failed_run, branch):
    failed_run["workflow_run"]["head_branch"] = branch
    with pytest.raises(EventError, match="head_branch"):
        subject(around("workflow_run"), failed_run)


@pytest.mark.parametrize("data", [b"[]", b"{", b"\xff", b"1" * 5000, b"[" * 100_000, b'"x"'])
def test_what_is_no_object_is_no_payload(data):
    with pytest.raises(EventError):
        parse(data)


def test_an_empty_payload_is_one():
    assert parse(b"") == {}


# From one job to another, and tokens


def test_a_subject_survives_the_way_and_nothing_else_does():
    found = Subject("issue_comment", OURS, SHA, "topic/ü", 3, "main", "mallory/x", True)
    assert "\n" not in to_text(found)
    assert from_text(to_text(found), OURS) == found
    sent = json.loads(to_text(found))
    for wrong in (
        sent | {"commit": "main"},
        sent | {"branch": "a;b c"},
        sent | {"pull_request": True},
        sent | {"untrusted": 0},
        sent | {"more": 1},
        sent | {"repository": "else/where"},
        {},
        [],
    ):
        with pytest.raises(EventError):
            from_text(json.dumps(wrong), OURS)


@pytest.mark.parametrize(
    ("environment", "settings_"),
    [
        ({"GITHUB_TOKEN": "x"}, ()),
        ({"GH_TOKEN": "x"}, ()),
        ({"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}, ()),
        ({"INPUT_TOKEN_GIVEN": "true"}, ()),
        ({}, ("core.bare", "http.https://github.com/.extraheader")),
        ({}, ("includeif.gitdir:/w/.git.path",)),
    ],
)
def test_a_token_in_reach_of_a_pull_requests_code_is_refused_and_elsewhere_told(environment, settings_):
    trusted = Subject("push", OURS, SHA, "main", head=OURS)
    assert len(check_tokens(trusted, environment, settings_)) == 1
    with pytest.raises(EventError, match="in reach") as caught:
        check_tokens(Subject("pull_request", OURS, SHA, "topic", 1, "main", OURS, True), environment, settings_)
    assert "persist-credentials: false" in caught.value.hint
    assert check_tokens(trusted, {"GITHUB_TOKEN": ""}, ("core.bare",)) == []
