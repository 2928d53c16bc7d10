import pytest

from scheduler import Every, History, Run


def test_units_add_up():
    assert Every(hours=1, minutes=1, seconds=1).seconds == 3661


def test_an_empty_interval_is_refused():
    with pytest.raises(ValueError, match="longer than nothing"):
        Every()


@pytest.mark.parametrize(("now", "expected"), [(5, 10), (10, 20), (19, 20), (20, 30), (47, 50)])
def test_the_next_run_stays_on_the_grid(now, expected):
    assert Every(seconds=10).next_after(10, now) == expected


def test_failures_in_a_row_start_again_after_a_success():
    history = History()
    for error in ("E", "E", "", "E"):
        history.add(Run("mail", 0, 1, error))
    assert history.failures_in_a_row("mail") == 1


def test_the_history_forgets_the_oldest_runs():
    history = History(size=3)
    for started in range(5):
        history.add(Run("mail", started, 1))
    assert [run.started for run in history.of("mail")] == [2, 3, 4]
