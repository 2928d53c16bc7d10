"""Bundles become pull requests in a stateful emulator of GitHub; every request fits GitHub's own description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bot.bundle import Bundle, Failing, FileChange, Function, Proposal, Source
from bot.config import Publishing
from bot.errors import ConfigError, PublishError
from bot.github import GitHub
from bot.planned import Published
from bot.publish import publish
from tests.github_front import READER, REVIEWER, WRITER, Front, Repository

BEFORE = b"def area(w, h):\n    return w + h\n\n\ndef half(x):\n    return x / 3\n"
AFTER = BEFORE.replace(b"w + h", b"w * h")
OTHER = BEFORE.replace(b"w + h", b"h * w")
HALF = BEFORE.replace(b"x / 3", b"x / 2")
BOTH = AFTER.replace(b"x / 3", b"x / 2")
PATH = "src/shapes.py"
FILES = {PATH: BEFORE, "tests/test_shapes.py": b"def test_area():\n    assert True\n", "README.md": b"Shapes\n"}


@pytest.fixture
def front(github_front: Front) -> Iterator[Front]:
    github_front.asked.clear()
    github_front.faults.clear()
    yield github_front
    assert github_front.violations == []


@pytest.fixture
def project(front: Front) -> Repository:
    return front.repository(FILES)


def proposal(after: bytes = AFTER, *, name: str = "area", test: str = "test_area", **changes: object) -> Proposal:
    node = f"tests/test_shapes.py::{test}"
    return replace(
        Proposal(
            kind="code",
            tests=(Failing(node, "AssertionError", "assert 5 == 6"),),
            functions=(Function(PATH, name, "executed by the failing test"),),
            files=(FileChange(PATH, BEFORE, after),),
            word="plausible",
            reasons=("nothing held out",),
            fixed=(node,),
            level="J4 in docker",
            regression_tests=12,
            origin="edit",
            setting="",
            spent={"seconds": 1.5, "executions": 40, "tokens": 0},
        ),
        **changes,
    )


def bundle(project: Repository, *proposals: Proposal, branch: str = "main", **changes: object) -> Bundle:
    failing = tuple(test.node_id for one in proposals for test in one.tests)
    made = Bundle(
        source=Source(project.tip(branch), project.name, branch),
        proposals=proposals,
        failing=failing,
        whole=True,
        command="egcfg-fix repair",
        environment={"model": "none"},
        log="runner docker",
    )
    return replace(made, **changes)


def run(project: Repository, given: Bundle, *, token: str = WRITER, **settings: object) -> list[Published]:
    chosen = Publishing(repository=project.name, api_url=project.front.url, **settings)
    waited: list[float] = []
    github = GitHub(token, project.name, api_url=project.front.url, sleep=waited.append, between_s=0)
    return publish(given, chosen, github, lambda event, **fields: None)


def test_a_proposal_becomes_a_pull_request_whose_head_holds_exactly_the_patch(project):
    [done] = run(project, bundle(project, proposal()), labels=("repair",), reviewers=(REVIEWER,), draft=True)
    assert done.operation == "created"
    assert done.warnings == ()
    [pull] = project.pulls()
    assert (pull["number"], pull["html_url"], pull["head"]["ref"]) == (done.number, done.url, done.branch)
    assert pull["head"]["sha"] == done.commit
    assert pull["draft"]
    assert project.content(PATH, done.commit) == AFTER
    assert project.content("README.md", done.commit) == b"Shapes\n"
    assert project.ask("GET", f"/git/commits/{done.commit}")["parents"][0]["sha"] == project.tip()
    assert [one["name"] for one in pull["labels"]] == ["repair"]
    assert [one["login"] for one in pull["requested_reviewers"]] == [REVIEWER]
    assert "A machine wrote this change" in pull["body"]
    assert "tests/test_shapes.py::test_area" in pull["body"]


def test_publishing_again_changes_nothing(project):
    given = bundle(project, proposal())
    [first] = run(project, given, labels=("repair",), reviewers=(REVIEWER,))
    before = project.pulls()
    project.front.asked.clear()
    [again] = run(project, given, labels=("repair",), reviewers=(REVIEWER,))
    assert again.operation == "unchanged"
    assert (again.number, again.commit) == (first.number, first.commit)
    assert project.front.verbs() == []
    assert project.pulls() == before


# Updating in place


def test_another_body_for_the_same_failure_is_a_commit_on_the_same_pull_request(project):
    [first] = run(project, bundle(project, proposal()))
    [second] = run(project, bundle(project, proposal(OTHER)))
    assert second.operation == "updated"
    assert (second.number, second.branch) == (first.number, first.branch)
    [pull] = project.pulls()
    assert project.tip(pull["head"]["ref"]) == second.commit  # the emulator's head.sha does not follow its branch
    assert project.content(PATH, second.commit) == OTHER
    assert project.ask("GET", f"/git/commits/{second.commit}")["parents"][0]["sha"] == first.commit
    assert "h * w" in pull["body"]


def test_after_the_base_has_moved_the_branch_gets_a_commit_that_contains_both(project):
    [first] = run(project, bundle(project, proposal()))
    moved = project.commit({"README.md": b"More shapes\n"})
    [second] = run(project, bundle(project, proposal(OTHER)))
    parents = [one["sha"] for one in project.ask("GET", f"/git/commits/{second.commit}")["parents"]]
    assert parents == [first.commit, moved]
    assert project.content("README.md", second.commit) == b"More shapes\n"
    [third] = run(
        project, replace(bundle(project, proposal()), source=Source(first_commit(project), project.name, "main"))
    )
    assert third.operation == "updated"  # an older run: on the newer base, never back to its own
    assert project.content("README.md", third.commit) == b"More shapes\n"
    assert project.content(PATH, third.commit) == AFTER


def first_commit(project: Repository) -> str:
    at = project.tip()
    while parents := project.ask("GET", f"/git/commits/{at}")["parents"]:
        at = parents[0]["sha"]
    return at


def test_more_failing_tests_of_the_same_function_stay_in_the_same_pull_request(project):
    [first] = run(project, bundle(project, proposal()))
    more = proposal(OTHER, tests=(*proposal().tests, Failing("tests/test_shapes.py::test_other")))
    [second] = run(project, bundle(project, more))
    assert (second.number, second.operation) == (first.number, "updated")


def test_commits_of_people_on_the_branch_are_never_touched(project):
    [first] = run(project, bundle(project, proposal()))
    theirs = project.commit({PATH: AFTER + b"# mine\n"}, branch=first.branch, message="Finish it")
    [second] = run(project, bundle(project, proposal(OTHER)))
    assert second.operation == "kept"
    assert project.tip(first.branch) == theirs


def test_an_amended_commit_of_ours_is_a_persons(project):
    [first] = run(project, bundle(project, proposal()))
    message = project.ask("GET", f"/git/commits/{first.commit}")["message"]
    theirs = project.commit({PATH: AFTER + b"# mine\n"}, branch=first.branch, message=message)
    assert [one.operation for one in run(project, bundle(project, proposal(OTHER)))] == ["kept"]
    assert project.tip(first.branch) == theirs


def test_a_commit_that_arrives_in_the_same_second_is_not_lost(project, front):
    [first] = run(project, bundle(project, proposal()))
    theirs = []

    def overtake(asked):
        if asked.verb == "PATCH" and "/git/refs/" in asked.path and not theirs:
            theirs.append(project.commit({"notes.txt": b"mine\n"}, branch=first.branch))

    front.faults.append(overtake)
    [second] = run(project, bundle(project, proposal(OTHER)))
    assert second.operation == "kept"
    assert project.tip(first.branch) == theirs[0]


def test_title_and_text_that_a_person_has_edited_stay(project):
    [first] = run(project, bundle(project, proposal()))
    [pull] = project.pulls()
    project.ask("PATCH", f"/pulls/{first.number}", {"title": "Fix area", "body": "Mine.\r\n\r\n" + pull["body"]})
    [second] = run(project, bundle(project, proposal(OTHER)))
    assert second.operation == "updated"
    [pull] = project.pulls()
    assert pull["title"] == "Fix area"
    assert pull["body"].startswith("Mine.")
    assert run(project, bundle(project, proposal(OTHER)))[0].operation == "unchanged"


def test_two_runs_that_publish_at_once_open_one_pull_request(project, front):
    given = bundle(project, proposal())
    inner: list[Published] = []

    def overtake(asked):
        if asked.verb == "POST" and asked.path.endswith("/pulls") and not inner:
            inner.append(replace(Published("created", "")))
            inner[:] = run(project, given)

    front.faults.append(overtake)
    [outer] = run(project, given)
    assert inner[0].operation == "created"
    assert outer.number == inner[0].number
    assert len(project.pulls()) == 1


# What is not opened, and what is closed


def test_a_change_that_a_person_closed_is_not_opened_again_but_another_one_is(project):
    [first] = run(project, bundle(project, proposal()))
    project.ask("PATCH", f"/pulls/{first.number}", {"state": "closed"})
    [again] = run(project, bundle(project, proposal()))
    assert (again.operation, again.number) == ("declined", first.number)
    assert project.pulls() == []
    [other] = run(project, bundle(project, proposal(OTHER)))
    assert other.operation == "created"
    assert other.number != first.number


def test_no_more_than_the_limit_are_open_and_the_open_ones_are_still_updated(project):
    half = proposal(HALF, name="half", test="test_half")
    results = run(project, bundle(project, proposal(), half), max_open_prs=1)
    assert [one.operation for one in results] == ["created", "deferred"]
    results = run(project, bundle(project, proposal(OTHER), half), max_open_prs=1)
    assert [one.operation for one in results] == ["updated", "deferred"]
    assert len(project.pulls()) == 1


def test_a_pull_request_whose_tests_pass_without_it_is_closed_with_its_branch(project):
    [first] = run(project, bundle(project, proposal()))
    project.commit({PATH: AFTER})
    partial = bundle(project, whole=False)
    assert run(project, partial) == []  # a run of some tests cannot tell
    [closed] = run(project, bundle(project))
    assert (closed.operation, closed.number) == ("closed", first.number)
    assert project.pulls() == []
    assert project.branches() == ["main"]
    assert any("Closed by egcfg-fix" in comment for comment in project.comments(first.number))
    [reopened] = run(project, bundle(project, proposal(HALF, files=(FileChange(PATH, AFTER, BOTH),), name="half")))
    assert reopened.operation == "created"


def test_while_one_of_its_tests_still_fails_a_pull_request_stays_open(project):
    run(project, bundle(project, proposal()))
    project.commit({"README.md": b"x"})
    assert run(project, bundle(project, failing=(proposal().tests[0].node_id,))) == []
    assert len(project.pulls()) == 1


def test_a_run_groups_its_repairs_into_one_pull_request_when_asked(project):
    half = proposal(HALF, name="half", test="test_half")
    both = bundle(project, proposal(), half, together=(FileChange(PATH, BEFORE, BOTH),))
    [done] = run(project, both, group="run")
    assert project.content(PATH, done.commit) == BOTH
    [again] = run(project, bundle(project, half, together=half.files), group="run")
    assert (again.number, again.operation) == (done.number, "updated")
    assert project.content(PATH, again.commit) == HALF


def test_together_nothing_is_published_that_no_proposal_has(project):
    half = proposal(HALF, name="half", test="test_half")
    wrong = BOTH.replace(b"x / 2", b"x / 4")
    results = run(project, bundle(project, proposal(), half, together=(FileChange(PATH, BEFORE, wrong),)), group="run")
    assert results[0].operation == "refused"
    assert "no proposal has this body of half" in results[0].reason
    assert all(WRONG not in project.content(PATH, one.commit) for one in results[1:] for WRONG in [b"x / 4"])


# The branch has moved on


@pytest.mark.parametrize(
    ("content", "said"),
    [(BEFORE + b"# more\n", "is not what was repaired"), (AFTER, "has this change already")],
)
def test_a_file_that_has_changed_since_is_left_to_the_next_run(project, content, said):
    given = bundle(project, proposal())
    project.commit({PATH: content})
    [done] = run(project, given)
    assert done.operation == "outdated"
    assert said in done.reason
    assert project.branches() == ["main"]


def test_a_rewritten_branch_and_a_patch_of_uncommitted_work_are_outdated(project):
    given = bundle(project, proposal())
    project.commit(FILES | {"new.txt": b"x"}, branch="rewritten")
    other = replace(given, source=replace(given.source, branch="rewritten"))
    [done] = run(project, other)
    assert "does not contain commit" in done.reason
    dirty = proposal(files=(FileChange(PATH, BEFORE + b"# dirty\n", AFTER + b"# dirty\n"),))
    [done] = run(project, bundle(project, dirty))
    assert "is not what was repaired" in done.reason


def test_line_ends_that_only_the_checkout_has_are_not_committed(project):
    windows = FileChange(PATH, BEFORE.replace(b"\n", b"\r\n"), AFTER.replace(b"\n", b"\r\n"))
    [done] = run(project, bundle(project, proposal(files=(windows,))))
    assert project.content(PATH, done.commit) == AFTER


# The other modes


@pytest.fixture
def feature(project: Repository) -> int:
    """A pull request of a person from the branch `feature`; its number."""
    project.commit({"feature.txt": b"x"}, branch="feature", parent=project.tip())
    given = {"title": "Feature", "head": "feature", "base": "main"}
    return int(project.ask("POST", "/pulls", given)["number"])


def test_push_mode_commits_onto_the_pull_requests_own_branch_once(project, feature):
    given = bundle(project, proposal(), branch="feature")
    tip = project.tip("feature")
    [done] = run(project, given, mode="push")
    assert done.operation == "created"
    assert project.tip("feature") == done.commit
    assert project.ask("GET", f"/git/commits/{done.commit}")["parents"][0]["sha"] == tip
    assert project.content(PATH, "feature") == AFTER
    [again] = run(project, given, mode="push")
    assert (again.operation, again.commit) == ("unchanged", done.commit)
    assert len(project.pulls()) == 1


def test_push_mode_overwrites_nothing_and_spares_the_default_branch(project, feature, front):
    given = bundle(project, proposal(), branch="feature")
    theirs = project.commit({"feature.txt": b"y"}, branch="feature")
    [done] = run(project, given, mode="push")
    assert done.operation == "outdated"
    assert project.tip("feature") == theirs
    with pytest.raises(ConfigError, match="default branch"):
        run(project, bundle(project, proposal()), mode="push")
    late = []

    def overtake(asked):
        if asked.verb == "PATCH" and "/git/refs/" in asked.path and not late:
            late.append(project.commit({"feature.txt": b"z"}, branch="feature"))

    front.faults.append(overtake)
    [done] = run(project, bundle(project, proposal(), branch="feature"), mode="push")
    assert done.operation == "outdated"
    assert project.tip("feature") == late[0]


def test_a_stacked_pull_request_goes_into_the_failing_ones_branch_and_is_announced_there_once(project, feature):
    given = bundle(project, proposal(), branch="feature")
    for _ in range(2):
        [done] = run(project, given, mode="stacked")
    [pull] = [one for one in project.pulls() if one["number"] == done.number]
    assert pull["base"]["ref"] == "feature"
    [comment] = project.comments(feature)
    assert f"#{done.number}" in comment
    run(project, bundle(project, proposal(OTHER), branch="feature"), mode="stacked")
    assert len(project.comments(feature)) == 1


def test_without_an_open_pull_request_nothing_is_stacked(project):
    [done] = run(project, bundle(project, proposal()), mode="stacked")
    assert done.operation == "outdated"
    assert project.pulls() == []


def test_a_workflow_is_dispatched_once_for_each_new_head(project, front):
    dispatched = []

    def workflow(asked):
        if asked.path.endswith("/dispatches"):
            dispatched.append(asked.json["ref"])
            return 204, {}, None
        return None

    front.faults.append(workflow)
    for after in (AFTER, AFTER, OTHER):
        [done] = run(project, bundle(project, proposal(after)), dispatch_workflow="tests.yml")
    assert dispatched == [done.branch, done.branch]


# When GitHub refuses


def failing(status: int, message: str, *, verb: str = "POST", part: str, times: int = 1 << 30, **headers: str):
    left = [times]

    def fault(asked):
        if asked.verb == verb and asked.path.endswith(part) and left[0] > 0:
            left[0] -= 1
            return status, headers, {"message": message}
        return None

    return fault


def test_what_fails_after_the_pull_request_is_a_warning_and_publishing_again_finishes_it(project, feature, front):
    given = bundle(project, proposal())
    given = replace(given, source=replace(given.source, pull_request=feature))
    front.faults += [
        failing(403, "Resource not accessible by integration", part=part)
        for part in ("/labels", "/comments", "/requested_reviewers")
    ]
    settings = {"labels": ("repair",), "reviewers": (REVIEWER,), "team_reviewers": ("core",)}
    [first] = run(project, given, **settings)
    assert first.operation == "created"
    assert len(first.warnings) == 4
    assert all("permission" in warning for warning in first.warnings)
    front.faults.clear()
    front.faults.append(lambda asked: (201, {}, {}) if b"team_reviewers" in asked.body else None)
    [second] = run(project, given, **settings)
    assert (second.operation, second.number, second.warnings) == ("updated", first.number, ())
    [pull] = [one for one in project.pulls() if one["number"] == first.number]
    assert [one["name"] for one in pull["labels"]] == ["repair"]
    assert len(project.comments(feature)) == 1
    assert run(project, given, **settings)[0].operation == "unchanged"


def test_a_pull_request_that_could_not_be_opened_is_opened_by_the_next_call_from_the_same_branch(project, front):
    given = bundle(project, proposal())
    said = "GitHub Actions is not permitted to create or approve pull requests."
    front.faults.append(failing(403, said, part="/pulls"))
    [first] = run(project, given)
    assert first.operation == "failed"
    assert "Workflow permissions" in first.reason
    front.faults.clear()
    [second] = run(project, given)
    assert second.operation == "created"
    assert project.branches() == [second.branch, "main"]


def test_limits_and_server_errors_are_waited_out(project, front):
    front.faults += [
        failing(403, "You have exceeded a secondary rate limit.", part="/git/trees", times=1, **{"retry-after": "7"}),
        failing(429, "Too many requests", part="/git/commits", times=1, **{"x-ratelimit-remaining": "0"}),
        failing(502, "Bad gateway", part="/pulls", times=2),
    ]
    waited: list[float] = []
    github = GitHub(WRITER, project.name, api_url=front.url, sleep=waited.append, between_s=0)
    given = Publishing(repository=project.name, api_url=front.url)
    [done] = publish(bundle(project, proposal()), given, github, lambda event, **fields: None)
    assert done.operation == "created"
    assert waited == [7.0, 60.0, 1.0, 2.0]


def test_a_limit_that_lasts_too_long_ends_the_call_and_says_so(project, front):
    front.faults.append(failing(429, "API rate limit exceeded", part="/git/trees", **{"retry-after": "3600"}))
    with pytest.raises(PublishError, match="could not answer") as caught:
        run(project, bundle(project, proposal()))
    assert "goes on where it stopped" in caught.value.hint


@pytest.mark.parametrize(
    ("token", "said", "hint"),
    [(READER, "may not POST", "contents: write"), ("ghs_nobody", "does not accept the token", "valid")],
)
def test_a_token_without_rights_is_told_what_it_lacks(project, token, said, hint):
    try:
        [done] = run(project, bundle(project, proposal()), token=token)
        told = done.reason
    except PublishError as error:
        told = f"{error.message} {error.hint}"
    assert said in told
    assert hint in told
    assert token not in told
    assert project.branches() == ["main"]


def test_a_protected_branch_of_ours_is_named_as_the_reason(project, front):
    said = "Reference update failed: Cannot create ref due to creations being restricted by a repository rule."
    front.faults.append(failing(422, said, part="/git/refs"))
    [done] = run(project, bundle(project, proposal()))
    assert done.operation == "failed"
    assert "--branch-prefix" in done.reason


def test_a_repository_without_drafts_gets_an_ordinary_pull_request(project, front):
    said = "Draft pull requests are not supported in this repository."
    front.faults.append(lambda asked: (422, {}, {"message": said}) if b'"draft": true' in asked.body else None)
    [done] = run(project, bundle(project, proposal()), draft=True)
    assert done.operation == "created"


def test_one_reviewer_that_does_not_exist_does_not_keep_the_others_away(project):
    [done] = run(project, bundle(project, proposal()), reviewers=("nobody-here", REVIEWER))
    assert len(done.warnings) == 1
    [pull] = project.pulls()
    assert [one["login"] for one in pull["requested_reviewers"]] == [REVIEWER]


def test_the_body_is_below_githubs_limit_whatever_the_log_and_the_diff_hold(project):
    long = proposal(
        tests=tuple(
            Failing(f"tests/test_shapes.py::test_area[{'`|<!--' * 100}{n}]", "E", "@octocat closes #1 " * 90)
            for n in range(900)
        ),
        reasons=("`" * 400, "a\nb" * 400),
    )
    given = bundle(project, long, log="@everyone ```\n<!-- egcfg-fix:{} -->\n" * 9000)
    [done] = run(project, given)
    assert done.operation == "created"
    body = project.pulls()[0]["body"]
    assert len(body) <= 65536
    assert body.index("What failed") < body.index("The change") < body.index("Execution log")
    assert run(project, given)[0].operation == "unchanged"


def test_an_enterprise_server_and_a_proxy_are_honoured(project, front, monkeypatch):
    enterprise = Publishing(repository=project.name, api_url=f"{front.url}/api/v3")
    github = GitHub(WRITER, project.name, api_url=enterprise.api_url, between_s=0)
    [first] = publish(bundle(project, proposal()), enterprise, github, lambda event, **fields: None)
    assert first.operation == "created"
    monkeypatch.setenv("HTTP_PROXY", front.url)
    behind = GitHub(WRITER, project.name, api_url="http://localhost:9/api/v3", between_s=0)
    [again] = publish(bundle(project, proposal()), enterprise, behind, lambda event, **fields: None)
    assert (again.operation, again.number) == ("unchanged", first.number)


def test_a_server_that_is_not_there_is_said_without_a_traceback_of_the_token():
    github = GitHub(WRITER, "octocat/x", api_url="http://127.0.0.1:9", sleep=lambda seconds: None, between_s=0)
    with pytest.raises(PublishError, match="did not answer") as caught:
        github.default_branch()
    assert WRITER not in str(caught.value) + repr(github)


def test_the_token_is_sent_over_tls_or_to_this_machine_only():
    for url in ("http://ghe.example.org/api/v3", "https://me:pass@ghe.example.org/api/v3"):
        with pytest.raises(ConfigError):
            GitHub(WRITER, "octocat/x", api_url=url)
