"""Device time: the sum over calls is what the engine was busy, however they overlap."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model import CallContext
from deployments.device_time import DeviceTime


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_call_alone_bears_all_of_it_and_idle_time_nobody():
    clock = Clock()
    device, call = DeviceTime(clock=clock), CallContext("a")
    for _ in range(2):
        clock.now += 50
        with device.busy(call):
            clock.now += 3
    assert call.device_s == 6


def test_two_devices_count_double():
    clock, call = Clock(), CallContext("a")
    with DeviceTime(2, clock).busy(call):
        clock.now += 3
    assert call.device_s == 6


def test_calls_that_overlap_share_only_while_they_do():
    clock = Clock()
    device, early, late = DeviceTime(clock=clock), CallContext("a"), CallContext("b")
    with device.busy(early):
        clock.now += 2
        with device.busy(late):
            clock.now += 4
        clock.now += 1
    assert (early.device_s, late.device_s) == (5, 2)


def test_two_pictures_of_one_call_bear_twice_what_one_of_another_does():
    clock = Clock()
    device, two, one = DeviceTime(clock=clock), CallContext("a"), CallContext("b")
    with device.busy(two, one, two):
        clock.now += 3
        device.tick()
        assert (two.device_s, one.device_s) == (2, 1), "also before the end"
        device.leave(two)
        clock.now += 3
    assert (two.device_s, one.device_s) == (2, 4)


def test_a_failure_of_the_engine_ends_its_time():
    clock, call = Clock(), CallContext("a")
    device = DeviceTime(clock=clock)

    def fails() -> None:
        with device.busy(call):
            clock.now += 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    clock.now += 1
    device.tick()
    assert call.device_s == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "leave", "tick"]),
            st.integers(0, 5),
            st.floats(0.01, 10),
        ),
        max_size=60,
    )
)
def test_the_sum_is_always_the_time_that_somebody_was_there(steps: list[tuple[str, int, float]]):
    clock = Clock()
    device, busy = DeviceTime(clock=clock), 0.0
    calls: dict[int, CallContext] = {}
    present: set[int] = set()
    for what, number, seconds in steps:
        call = calls.setdefault(number, CallContext(str(number)))
        if what == "begin":
            device.begin(call)
            present.add(number)
        elif what == "leave":
            device.leave(call)
            present.discard(number)
        clock.now += seconds
        busy += seconds if present else 0
    device.tick()
    assert sum(call.device_s for call in calls.values()) == pytest.approx(busy)


def test_threads_share_one_device():
    device = DeviceTime()
    calls = [CallContext(str(number)) for number in range(8)]

    def work(call: CallContext) -> None:
        for _ in range(20):
            with device.busy(call):
                time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.02 <= sum(call.device_s for call in calls) <= time.perf_counter() - began
