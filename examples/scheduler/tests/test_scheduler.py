import asyncio

import pytest

from scheduler import Every, RetryPolicy, Scheduler, retrying


@pytest.fixture
def scheduler(clock):
    return Scheduler(clock)


def recorder(calls, name):
    async def record():
        calls.append(name)

    return record


def test_nothing_runs_before_it_is_due(scheduler):
    calls = []
    scheduler.add("mail", Every(seconds=10), recorder(calls, "mail"))
    assert asyncio.run(scheduler.run_pending()) == 0
    assert calls == []


def test_jobs_run_at_their_intervals(scheduler):
    calls = []
    scheduler.add("fast", Every(seconds=10), recorder(calls, "fast"))
    scheduler.add("slow", Every(seconds=25), recorder(calls, "slow"))
    asyncio.run(scheduler.run_until(60))
    assert (calls.count("fast"), calls.count("slow")) == (5, 2)


def test_the_longest_overdue_job_comes_first(scheduler, clock):
    scheduler.add("late", Every(seconds=20), recorder([], "late"))
    scheduler.add("later", Every(seconds=10), recorder([], "later"))
    clock.time = 30
    assert [job.name for job in scheduler.due()] == ["later", "late"]


def test_a_name_is_taken_only_once(scheduler):
    scheduler.add("mail", Every(seconds=1), recorder([], "mail"))
    with pytest.raises(ValueError, match="'mail' already"):
        scheduler.add("mail", Every(seconds=2), recorder([], "mail"))


def test_a_paused_job_waits_and_keeps_to_its_grid(scheduler, clock):
    calls = []
    job = scheduler.add("mail", Every(seconds=10), recorder(calls, "mail"))
    scheduler.pause("mail")
    asyncio.run(scheduler.run_until(34))
    scheduler.resume("mail")
    assert (calls, job.due) == ([], 40)


def test_a_failing_job_is_recorded_and_does_not_stop_the_others(scheduler, flaky):
    calls = []
    scheduler.add("bad", Every(seconds=10), flaky(failures=99))
    scheduler.add("good", Every(seconds=10), recorder(calls, "good"))
    asyncio.run(scheduler.run_until(21))
    assert calls == ["good", "good"]
    assert scheduler.history.failures_in_a_row("bad") == 2
    assert scheduler.history.of("bad")[0].error == "OSError: no route"


def test_a_run_with_retries_lasts_as_long_as_its_pauses(scheduler, clock, flaky):
    source = flaky(failures=3)

    @retrying(RetryPolicy(attempts=4, first_pause=1.0), clock)
    async def fetch_rates():
        return await source()

    scheduler.add("rates", Every(minutes=1), fetch_rates)
    asyncio.run(scheduler.run_until(61))
    [run] = scheduler.history.of("rates")
    assert run.ok
    assert run.seconds == 7.0


def test_no_more_jobs_than_the_limit_run_at_once(clock):
    scheduler = Scheduler(clock, limit=2)
    running, most = 0, 0

    async def work():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    for number in range(5):
        scheduler.add(f"job {number}", Every(seconds=1), work)
    clock.time = 1
    assert asyncio.run(scheduler.run_pending()) == 5
    assert most == 2
