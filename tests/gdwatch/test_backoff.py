from gdwatch.backoff import Backoff, Delay


def test_what_fails_rests_twice_as_long_each_time_and_five_minutes_at_most() -> None:
    tries = Backoff[str]()
    now_s, waits = 0.0, []
    for _ in range(12):
        tries.failed("a", now_s)
        wait = next(s for s in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 512)
                    if not tries.rests("a", now_s + s))  # fmt: skip
        assert tries.rests("a", now_s + wait - 0.001)
        waits.append(wait)
        now_s += wait
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_what_has_worked_or_is_gone_begins_anew() -> None:
    tries = Backoff[str]()
    for key in "ab":
        tries.failed(key, 0.0)
        tries.failed(key, 1.0)
    tries.forget("a")
    assert not tries.rests("a", 1.0)
    tries.keep({"a"})
    assert not tries.rests("b", 1.0)
    tries.failed("b", 1.0)
    assert tries.rests("b", 1.9)
    assert not tries.rests("b", 2.0)


def test_one_that_rests_keeps_no_other_waiting() -> None:
    tries = Backoff[str]()
    tries.failed("a", 0.0)
    assert tries.rests("a", 0.5)
    assert not tries.rests("b", 0.5)


def test_a_delay_doubles_up_to_the_longest() -> None:
    delay, waits = Delay(first_s=1.0, longest_s=30.0), []
    for _ in range(7):
        waits.append(delay.after(waits[-1] if waits else None))
    assert waits == [1, 2, 4, 8, 16, 30, 30]
