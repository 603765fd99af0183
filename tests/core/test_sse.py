"""Events are read back whole, however they were cut."""

import json

from hypothesis import given
from hypothesis import strategies as st

from core.sse import EventReader

EVENTS = [{"n": 1}, {"text": "a\nb: data: \u00fc"}, {"n": [2, {}]}]
STREAM = b": ping\n\nevent: x\n" + b"".join(
    b"data: " + json.dumps(event).encode() + b"\n\n" for event in EVENTS
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_pieces_of_any_size_give_the_same_events(cuts):
    reader, found, at = EventReader(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += reader.feed(STREAM[at:cut])
        at = cut
    assert found == EVENTS


def test_the_mark_of_the_end_is_no_event():
    assert EventReader().feed(b'data: {"a":1}\n\ndata: [DONE]\n\n') == [{"a": 1}]
