"""Pace: fast models send several tokens an event, slow ones each token by itself."""

from contextlib import ExitStack

from core.model import CallContext
from core.work import WorkUnits
from deployments import llm_pace
from deployments.llm_pace import MAX_TOKENS_PER_EVENT, Pace


class Clock:
    now = 100.0

    def perf_counter(self):
        return self.now


def stream(pace, clock, tokens, ms_per_token, choices=1):
    call = CallContext("req")
    with pace.stream(call, choices):
        call.done = WorkUnits(output_tokens=tokens * choices)
        clock.now += tokens * ms_per_token / 1000


def paced(monkeypatch, ms_per_token, **how):
    clock, pace = Clock(), Pace()
    monkeypatch.setattr(llm_pace, "time", clock)
    stream(pace, clock, 100, ms_per_token, **how)
    clock.now += 60
    return pace


def test_before_anything_is_known_each_token_is_an_event():
    assert Pace().tokens_per_event == 1


def test_a_large_model_sends_each_token_by_itself(monkeypatch):
    assert paced(monkeypatch, 40).tokens_per_event == 1


def test_a_small_model_sends_as_many_as_a_screen_can_show_apart(monkeypatch):
    assert paced(monkeypatch, 3.9).tokens_per_event == 5
    assert paced(monkeypatch, 0.1).tokens_per_event == MAX_TOKENS_PER_EVENT


def test_several_choices_of_one_request_are_several_streams(monkeypatch):
    assert paced(monkeypatch, 3.9, choices=3).tokens_per_event == 5


def test_under_load_events_hold_more_also_between_two_waves(monkeypatch):
    clock, pace = Clock(), Pace()
    monkeypatch.setattr(llm_pace, "time", clock)
    stream(pace, clock, 100, 9)
    alone = pace.tokens_per_event
    with ExitStack() as wave:
        for name in range(30):
            wave.enter_context(pace.stream(CallContext(str(name)), 1))
    clock.now += 0.1
    assert pace.tokens_per_event >= 4 * alone
    clock.now += 60
    assert pace.tokens_per_event == alone


def test_a_short_answer_says_nothing_about_speed(monkeypatch):
    clock, pace = Clock(), Pace()
    monkeypatch.setattr(llm_pace, "time", clock)
    stream(pace, clock, 2, 0.01)
    assert pace.tokens_per_event == 1
