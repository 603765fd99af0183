"""An alarm wakes whoever waits, without being set."""

import threading
import time

import pytest

from graphs.alarm import LEAST_S, Alarm


@pytest.fixture
def alarm():
    return Alarm()


def after(seconds, what):
    timer = threading.Timer(seconds, what)
    timer.start()
    return timer


def test_a_ring_ends_the_wait_and_says_that_nothing_is_set(alarm):
    began = time.monotonic()
    after(0.05, alarm.ring)
    assert alarm.wait(30) is False
    assert time.monotonic() - began < 10
    assert not alarm.is_set()


def test_a_ring_that_nobody_waited_for_is_heard_once(alarm):
    alarm.ring()
    alarm.ring()
    assert alarm.wait(30) is False
    began = time.monotonic()
    assert alarm.wait(0.1) is False
    assert time.monotonic() - began >= 0.1


def test_setting_it_ends_every_wait_from_then_on(alarm):
    after(0.05, alarm.set)
    assert alarm.wait(30) is True
    assert alarm.wait(30) is True
    assert alarm.wait() is True


def test_however_often_it_rings_there_is_a_pause_between_looks(alarm):
    began, looks = time.monotonic(), 0
    while time.monotonic() - began < 10 * LEAST_S:
        alarm.ring()
        alarm.wait(30)
        looks += 1
    assert looks <= 11
