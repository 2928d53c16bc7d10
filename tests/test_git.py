"""Git: branches without touching the user's tree, atomic writes, and no program of the repository ever run."""

from __future__ import annotations

import itertools
import shutil
import stat
import subprocess
import sys

import pytest

from bot import working_tree
from bot.errors import RepositoryError
from bot.git import changed_lines, check_branch, create_branch, head, is_dirty, is_repository, shares_history
from bot.git_program import GitMissing
from bot.records import Patch
from bot.working_tree import apply

BEFORE, AFTER = b"def f():\n    return 1\n", b"def f():\n    return 2\n"


def patch(path="src/a.py", before=BEFORE, after=AFTER):
    return Patch(path, "f", before, after, "")


def git(root, *arguments):
    """Run git as a user would and return what it prints."""
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(repo):
    root = repo({"src/a.py": BEFORE, "README": "read me\n"})
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.org")
    return root


def state(root):
    """Everything that must not change: index bytes, HEAD, and files with their times."""
    files = {
        p: (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file() and ".git" not in p.parts
    }
    return (root / ".git/index").read_bytes(), (root / ".git/HEAD").read_text(), files


def show(root, what):
    return subprocess.run(["git", "show", what], cwd=root, check=True, capture_output=True).stdout


def test_a_folder_without_git_is_no_repository_and_is_never_dirty(tmp_path):
    assert not is_repository(tmp_path)
    assert head(tmp_path) == ""
    assert is_dirty(tmp_path) == []


def test_dirty_lists_changed_tracked_files_but_not_untracked_ones(checkout):
    assert is_dirty(checkout) == []
    (checkout / "new.txt").write_text("x")
    (checkout / "src/a.py").write_text("changed")
    (checkout / "README").unlink()
    assert is_dirty(checkout) == ["README", "src/a.py"]
    assert is_dirty(checkout / "src") == ["a.py"]


def test_dirty_also_lists_staged_changes_and_paths_with_odd_names(checkout):
    odd = checkout / "naïve \n name.py"
    odd.write_text("x")
    git(checkout, "add", odd.name)
    assert is_dirty(checkout) == [odd.name]


def test_a_branch_holds_only_the_patched_files_and_touches_nothing_of_the_users(checkout):
    (checkout / "README").write_text("work in progress\n")
    git(checkout, "add", "README")
    (checkout / "untracked").write_text("x")
    before = state(checkout)
    commit = create_branch(checkout, "egcfg-fix/main", [patch()], "fix: f\n\nwhy")
    assert state(checkout) == before
    assert git(checkout, "rev-parse", "egcfg-fix/main") == commit
    assert git(checkout, "rev-parse", f"{commit}^@") == git(checkout, "rev-parse", "HEAD")
    assert git(checkout, "diff", "--name-only", "HEAD", commit) == "src/a.py"
    assert show(checkout, f"{commit}:src/a.py") == AFTER
    assert git(checkout, "log", "-1", "--format=%an <%ae> %B", commit) == "Ada <ada@example.org> fix: f\n\nwhy"
    assert git(checkout, "branch", "--show-current") == "main"


def test_paths_are_relative_to_a_folder_inside_the_repository(checkout):
    commit = create_branch(checkout / "src", "fix", [patch("a.py")], "fix")
    assert show(checkout, f"{commit}:src/a.py") == AFTER


def test_an_executable_file_stays_executable_in_the_commit(checkout):
    (checkout / "src/a.py").chmod(0o755)
    git(checkout, "commit", "--all", "--message=executable")
    commit = create_branch(checkout, "fix", [patch()], "fix")
    assert "100755" in git(checkout, "ls-tree", commit, "src/a.py")


def test_line_ends_that_the_checkout_converted_are_converted_back(checkout):
    commit = create_branch(
        checkout, "fix", [patch(before=BEFORE.replace(b"\n", b"\r\n"), after=AFTER.replace(b"\n", b"\r\n"))], "fix"
    )
    assert show(checkout, f"{commit}:src/a.py") == AFTER


def test_a_branch_is_refused_when_the_patch_was_proven_on_uncommitted_content(checkout):
    with pytest.raises(RepositoryError, match="uncommitted"):
        create_branch(checkout, "fix", [patch(before=b"def f(): return 9\n")], "fix")
    assert git(checkout, "branch", "--format=%(refname:short)") == "main"


def test_a_branch_is_refused_for_a_file_that_is_not_committed(checkout):
    (checkout / "new.py").write_bytes(BEFORE)
    with pytest.raises(RepositoryError, match="not a file of the commit"):
        create_branch(checkout, "fix", [patch("new.py")], "fix")


@pytest.mark.parametrize("name", ["-f", "a..b", "a b", "", "a~1", "x.lock", "@{-1}"])
def test_what_is_no_branch_name_is_refused(checkout, name):
    with pytest.raises(RepositoryError, match="not a name for a branch"):
        check_branch(checkout, name)


def test_an_existing_branch_is_never_overwritten(checkout):
    with pytest.raises(RepositoryError, match="exists already"):
        create_branch(checkout, "main", [patch()], "fix")


def test_without_git_or_without_a_commit_there_is_no_branch(tmp_path):
    with pytest.raises(RepositoryError, match="not a git repository"):
        check_branch(tmp_path, "fix")
    git(tmp_path, "init", "--quiet")
    with pytest.raises(RepositoryError, match="no commit yet"):
        check_branch(tmp_path, "fix")


def test_without_an_identity_egcfg_fix_commits_as_itself(checkout, monkeypatch):
    monkeypatch.setenv("HOME", str(checkout))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    git(checkout, "config", "--remove-section", "user")
    commit = create_branch(checkout, "fix", [patch()], "fix")
    assert git(checkout, "log", "-1", "--format=%an %ae", commit).startswith("egcfg-fix egcfg-fix@")


def test_no_program_named_by_the_repository_is_run(checkout, tmp_path):
    trap, mark = tmp_path / "trap", tmp_path / "ran"
    trap.write_text(f"#!/bin/sh\necho $0 $@ >> {mark}\ncat\n")
    trap.chmod(0o755)
    hooks = ("reference-transaction", "pre-commit", "post-index-change", "post-checkout", "post-commit", "commit-msg")
    for hook in hooks:
        (checkout / ".git/hooks" / hook).symlink_to(trap)
    with (checkout / ".git/config").open("a") as file:
        file.write(
            f"[core]\n\tfsmonitor = {trap}\n\tpager = {trap}\n\tsshCommand = {trap}\n\taskPass = {trap}\n"
            f'[filter "evil.one"]\n\tclean = {trap}\n\tsmudge = {trap}\n\tprocess = {trap}\n\trequired = true\n'
            f'[diff "evil.two"]\n\ttextconv = {trap}\n\tcommand = {trap}\n[diff]\n\texternal = {trap}\n'
            f"[gpg]\n\tprogram = {trap}\n[commit]\n\tgpgSign = true\n[credential]\n\thelper = {trap}\n"
            f"[alias]\n\tstatus = !{trap}\n\tls-tree = !{trap}\n"
        )
    (checkout / ".gitattributes").write_text("* filter=evil.one diff=evil.two\n")
    assert not mark.exists()
    (checkout / "README").write_text("read ME\n")  # same size: git must compare the content, through the filter
    assert is_dirty(checkout) == ["README"]
    create_branch(checkout, "fix", [patch()], "fix")
    apply(checkout, [patch()])
    assert not mark.exists()
    assert (checkout / "src/a.py").read_bytes() == AFTER
    subprocess.run(["git", "status"], cwd=checkout, capture_output=True, check=False)
    assert mark.exists()  # the trap itself works


def test_variables_of_a_surrounding_git_do_not_lead_astray(checkout, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare'='true'")
    assert is_repository(checkout)
    assert is_dirty(checkout) == []
    create_branch(checkout, "fix", [patch()], "fix")
    assert (checkout / ".git/refs/heads/fix").exists()


def test_applying_writes_the_bytes_and_keeps_the_mode(checkout):
    (checkout / "src/a.py").chmod(0o750)
    assert apply(checkout, [patch()], allow_dirty=True) == ["src/a.py"]
    assert (checkout / "src/a.py").read_bytes() == AFTER
    assert stat.S_IMODE((checkout / "src/a.py").stat().st_mode) == 0o750
    assert sorted(p.name for p in (checkout / "src").iterdir()) == ["a.py"]


def test_applying_works_without_git(tmp_path):
    (tmp_path / "a.py").write_bytes(BEFORE)
    apply(tmp_path, [patch("a.py")])
    assert (tmp_path / "a.py").read_bytes() == AFTER


def test_a_file_that_changed_since_it_was_read_stops_everything(checkout):
    (checkout / "README").write_text("changed meanwhile\n")
    before = state(checkout)
    with pytest.raises(RepositoryError, match="changed since it was read"):
        apply(checkout, [patch(), patch("README", b"read me\n", b"x")], allow_dirty=True)
    assert state(checkout) == before


def test_a_file_with_uncommitted_changes_is_left_alone_unless_allowed(checkout):
    (checkout / "src/a.py").write_bytes(b"# mine\n" + BEFORE)
    mine = patch(before=b"# mine\n" + BEFORE, after=b"# mine\n" + AFTER)
    with pytest.raises(RepositoryError, match="uncommitted changes") as caught:
        apply(checkout, [mine])
    assert "--allow-dirty" in caught.value.hint
    assert apply(checkout, [mine], allow_dirty=True) == ["src/a.py"]


def test_other_dirty_files_do_not_matter(checkout):
    (checkout / "README").write_text("work in progress\n")
    apply(checkout, [patch()])
    assert (checkout / "README").read_text() == "work in progress\n"


def test_links_and_paths_that_leave_the_repository_are_refused(checkout, tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_bytes(BEFORE)
    (checkout / "link.py").symlink_to(secret)
    (checkout / "folder").symlink_to(tmp_path)
    for path in (
        "link.py",
        "folder/secret.py",
        "../secret.py",
        str(secret),
        ".git/config",
        "sub/.GIT/hooks/x",
        "",
        "src",
    ):
        with pytest.raises(RepositoryError):
            apply(checkout, [patch(path)], allow_dirty=True)
    assert secret.read_bytes() == BEFORE


def test_a_failed_write_puts_the_earlier_files_back(checkout):
    before = state(checkout)[0]
    broken = patch("README", b"read me\n", None)  # stands for a disk that fails half-way
    with pytest.raises(TypeError):
        apply(checkout, [patch(), broken])
    assert state(checkout)[0] == before
    assert (checkout / "src/a.py").read_bytes() == BEFORE
    assert (checkout / "README").read_text() == "read me\n"
    assert sorted(p.name for p in (checkout / "src").iterdir()) == ["a.py"]


@pytest.mark.parametrize("place", ["empty", "with env"])
def test_without_git_only_what_needs_it_is_refused(checkout, tmp_path, monkeypatch, place):
    programs = tmp_path / "programs"
    programs.mkdir()
    if place == "with env":
        (programs / "env").symlink_to(shutil.which("env"))
    monkeypatch.setenv("PATH", str(programs))
    assert not is_repository(checkout)
    assert head(checkout) == ""
    assert apply(checkout, [patch()]) == ["src/a.py"]
    with pytest.raises(GitMissing):
        check_branch(checkout, "fix")


# What changed since a base


def test_changed_lines_are_those_since_the_merge_base_committed_or_not(repo):
    lines = [f"line {number}" for number in range(1, 41)]
    root = repo({"app/a.py": "\n".join(lines) + "\n", "app/old name.py": "\n".join(lines) + "\n", "top.py": "x = 1\n"})
    git(root, "checkout", "-q", "-b", "topic")
    git(root, "mv", "app/old name.py", "app/new name.py")
    changed = list(lines)
    changed[4] = "++ b/odd"
    del changed[20:23]
    (root / "app/new name.py").write_text("\n".join(changed) + "\n")
    (root / "top.py").write_text("x = 2\n")
    git(root, "commit", "-q", "-a", "-m", "Second")
    git(root, "checkout", "-q", "main")
    (root / "app/a.py").write_text("elsewhere\n")
    git(root, "commit", "-q", "-a", "-m", "On main")
    git(root, "checkout", "-q", "topic")
    (root / "app/a.py").write_text("\n".join([*lines, "def f():", "    return 1"]) + "\n")
    (root / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
    for key in ("filter.evil.clean", "diff.evil.textconv", "diff.evil.command", "diff.external"):
        git(root, "config", key, f"touch {root}/ran")
    assert changed_lines(root / "app", "main") == {
        "a.py": [range(41, 43)],
        "new name.py": [range(5, 6), range(20, 22)],
    }
    assert changed_lines(root, "main")["top.py"] == [range(1, 2)]
    assert not (root / "ran").exists()


def test_a_base_that_is_not_here_is_an_error_that_says_how_to_get_it(checkout, tmp_path):
    for ref in ("origin/main", "--output=x"):
        assert not shares_history(checkout, ref)
        with pytest.raises(RepositoryError, match="no common base") as error:
            changed_lines(checkout, ref)
        assert "fetch-depth" in error.value.hint
    assert shares_history(checkout, "HEAD")
    with pytest.raises(RepositoryError, match="not a git repository"):
        changed_lines(tmp_path, "main")


def struck(function, code, place):
    """Call `function` with an interruption before the instruction number `place` of `code`; True when it was struck."""
    left = place

    def trace(frame, event, _argument):
        nonlocal left
        if frame.f_code is not code:
            return trace if event == "call" else None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the file that stays open
def test_an_interruption_at_any_instruction_leaves_no_half_written_file_and_no_other(tmp_path):
    file = tmp_path / "a.py"
    seen = set()
    for place in itertools.count():
        file.write_bytes(BEFORE)
        was_struck = struck(lambda: apply(tmp_path, [patch("a.py")]), working_tree._replace.__code__, place)
        assert [one.name for one in tmp_path.iterdir()] == ["a.py"], place
        seen.add(file.read_bytes())
        if not was_struck:
            break
    assert place > 20
    assert seen == {BEFORE, AFTER}
