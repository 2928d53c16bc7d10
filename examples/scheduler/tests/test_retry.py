import asyncio

import pytest

from scheduler import RetryPolicy, retrying


def call(function, policy, clock):
    async def named():
        return await function()

    return asyncio.run(retrying(policy, clock)(named)())


def test_a_function_that_works_is_called_once(clock, flaky):
    function = flaky(failures=0)
    assert call(function, RetryPolicy(), clock) == "done"
    assert (function.calls, clock.sleeps) == (1, [])


def test_one_failure_costs_one_pause(clock, flaky):
    assert call(flaky(failures=1), RetryPolicy(first_pause=0.5), clock) == "done"
    assert clock.sleeps == [0.5]


def test_the_second_pause_is_longer(clock, flaky):
    call(flaky(failures=2), RetryPolicy(first_pause=1.0, factor=3.0), clock)
    assert clock.sleeps == [1.0, 3.0]


def test_pauses_keep_growing(clock, flaky):
    call(flaky(failures=4), RetryPolicy(attempts=5, first_pause=1.0, factor=2.0), clock)
    assert clock.sleeps == [1.0, 2.0, 4.0, 8.0]


def test_pauses_grow_up_to_the_longest(clock, flaky):
    policy = RetryPolicy(attempts=6, first_pause=2.0, factor=3.0, longest_pause=30.0)
    call(flaky(failures=5), policy, clock)
    assert clock.sleeps == [2.0, 6.0, 18.0, 30.0, 30.0]


@pytest.mark.parametrize(("attempts", "waited"), [(2, 1.0), (4, 7.0), (6, 31.0)])
def test_giving_up_takes_the_sum_of_all_pauses(clock, flaky, attempts, waited):
    with pytest.raises(OSError, match="no route"):
        call(flaky(failures=99), RetryPolicy(attempts=attempts), clock)
    assert clock.now() == waited


def test_the_last_error_is_passed_on(clock, flaky):
    function = flaky(failures=3, error=TimeoutError("too slow"))
    with pytest.raises(TimeoutError, match="too slow"):
        call(function, RetryPolicy(attempts=3), clock)
    assert function.calls == 3


def test_other_errors_are_passed_on_at_once(clock, flaky):
    function = flaky(failures=1, error=KeyError("currency"))
    with pytest.raises(KeyError):
        call(function, RetryPolicy(retry_on=(OSError,)), clock)
    assert (function.calls, clock.sleeps) == (1, [])


def test_the_name_of_the_function_is_kept(clock):
    @retrying(RetryPolicy(), clock)
    async def fetch_rates():
        """Fetch the rates."""

    assert (fetch_rates.__name__, fetch_rates.__doc__) == ("fetch_rates", "Fetch the rates.")


def test_arguments_reach_the_function(clock):
    @retrying(RetryPolicy(), clock)
    async def add(one, two, *, three):
        return one + two + three

    assert asyncio.run(add(1, 2, three=3)) == 6


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"first_pause": -1}, {"factor": 0.5}])
def test_a_policy_that_makes_no_sense_is_refused(settings):
    with pytest.raises(ValueError, match="attempt|pauses"):
        RetryPolicy(**settings)
