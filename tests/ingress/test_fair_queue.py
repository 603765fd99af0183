"""The fair queue alone: shares by weight, nobody starved, nothing left behind."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingress.fair_queue import SPARE_FLOWS, Entry, FairQueue

SIZES = st.integers(1, 100)
TENANTS = ("a", "b", "c", "d")
ROUNDS = 2_000


def drain(queue):
    return [queue.pop().item for _ in range(len(queue))]


def test_one_request_waits_for_one_of_a_burst_and_not_for_all():
    queue: FairQueue[Any] = FairQueue()
    for number in range(200):
        queue.push(f"burst {number}", "loud", 1, 10)
    queue.push("single", "quiet", 1, 10)
    assert drain(queue).index("single") <= 1


def test_a_tenants_own_requests_keep_their_order():
    queue: FairQueue[Any] = FairQueue()
    for number in range(5):
        for tenant in "ab":
            queue.push((tenant, number), tenant, 1, 1 + number * (tenant == "a"))
    served = drain(queue)
    for tenant in "ab":
        assert [item for item in served if item[0] == tenant] == [(tenant, n) for n in range(5)]


def test_large_requests_count_as_much_work_as_they_are():
    queue: FairQueue[Any] = FairQueue()
    for _ in range(100):
        queue.push("large", "a", 1, 90)
        queue.push("small", "b", 1, 10)
    first = [queue.pop().item for _ in range(50)]
    assert 4 <= first.count("large") <= 6


def test_estimates_that_were_too_high_are_made_good():
    """One tenant promises 1,000 and uses 10, the other says 10 at once: they get the same."""
    queue: FairQueue[str] = FairQueue()
    served: Counter[str] = Counter()
    for tenant, estimate in (("vague", 1_000), ("exact", 10)):
        queue.push(tenant, tenant, 1, estimate)
        queue.push(tenant, tenant, 1, estimate)
    for _ in range(ROUNDS):
        entry = queue.pop()
        served[entry.item] += 1
        queue.push(entry.item, entry.item, 1, entry.size)
        queue.correct(entry, 10)
    assert abs(served["vague"] - served["exact"]) <= 2


def test_a_tenant_that_was_away_has_saved_nothing_up():
    queue: FairQueue[Any] = FairQueue()
    for _ in range(100):
        queue.push("a", "a", 1, 10)
    for _ in range(50):
        queue.pop()
    for _ in range(50):
        queue.push("b", "b", 1, 10)
    first = [queue.pop().item for _ in range(20)]
    assert 9 <= first.count("b") <= 11


def test_a_tenant_that_left_with_more_than_its_turn_comes_back_behind():
    queue: FairQueue[Any] = FairQueue()
    queue.push("huge", "a", 1, 1_000)
    queue.push("b", "b", 1, 10)
    assert queue.pop().item == "huge"
    for _ in range(10):
        queue.push("b", "b", 1, 10)
    queue.push("again", "a", 1, 10)
    assert drain(queue)[-1] == "again"


def test_the_place_is_told_before_it_is_taken():
    queue: FairQueue[Any] = FairQueue()
    for number in range(10):
        queue.push(number, "a", 1, 5)
    assert queue.place("a", 1) == (11, 50)
    assert queue.place("b", 1) == (2, 5)
    queue.push("b", "b", 1, 5)
    assert drain(queue).index("b") == 1


def test_a_full_queue_is_left_by_the_newest_of_whoever_fills_it():
    queue: FairQueue[Any] = FairQueue()
    for number in range(9):
        queue.push(number, "loud", 1, 1)
    queue.push("first", "quiet", 1, 1)
    assert queue.crowded_out("loud", 1) is None
    loser = queue.crowded_out("quiet", 1)
    assert loser is not None
    assert loser.item == 8
    assert queue.crowded_out("quiet", 16) is not None
    heavy: FairQueue[Any] = FairQueue()
    for number in range(9):
        heavy.push(number, "loud", 16, 1)
    assert heavy.crowded_out("quiet", 1) is None  # nine for a weight of 16 are less than one


def test_tenants_that_came_and_went_are_not_remembered_for_ever():
    queue: FairQueue[Any] = FairQueue()
    for number in range(SPARE_FLOWS * 3):
        queue.push(number, f"tenant {number}", 1, 1)
        queue.pop()
    assert len(queue._flows) <= SPARE_FLOWS + 2


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 16), SIZES, SIZES), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
def test_shares_follow_weights_while_all_wait(tenants, dice):
    """Work that was done for each over its weight differs by a request or two, whatever is asked.

    Each tenant has a weight, a largest estimate, and a largest real size; it always waits.
    """
    queue: FairQueue[int] = FairQueue()
    done = [0.0] * len(tenants)

    def push(who):
        weight, most, _ = tenants[who]
        queue.push(who, str(who), weight, dice.randint(1, most))

    for who in range(len(tenants)):
        push(who)
        push(who)
    for _ in range(ROUNDS):
        entry = queue.pop()
        weight, _, most = tenants[entry.item]
        real = dice.randint(1, most)
        queue.correct(entry, real)
        done[entry.item] += real / weight
        push(entry.item)
    slack = 2 * sum(max(estimate, real) / weight for weight, estimate, real in tenants)
    assert max(done) - min(done) <= slack


class AnyOrder(RuleBasedStateMachine):
    """Tenants come, are served, give up, are corrected and forgotten in any order."""

    def __init__(self):
        super().__init__()
        self.queue: FairQueue[Any] = FairQueue()
        self.waiting: list[Entry[Any]] = []
        self.taken: list[Entry[Any]] = []
        self.count = 0

    @rule(tenant=st.sampled_from(TENANTS), weight=st.integers(1, 16), size=SIZES)
    def come(self, tenant, weight, size):
        place = self.queue.place(tenant, weight)
        assert 1 <= place.position <= len(self.waiting) + 1
        assert place.ahead <= sum(entry.size for entry in self.waiting)
        self.waiting.append(self.queue.push((tenant, self.count), tenant, weight, size))
        self.count += 1

    @precondition(lambda self: self.waiting)
    @rule()
    def serve(self):
        entry = self.queue.pop()
        tenant = entry.item[0]
        assert entry is next(e for e in self.waiting if e.item[0] == tenant)
        self.waiting.remove(entry)
        self.taken.append(entry)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data):
        entry = data.draw(st.sampled_from(self.waiting))
        self.queue.remove(entry)
        self.queue.remove(entry)
        self.waiting.remove(entry)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), size=SIZES)
    def end(self, data, size):
        entry = data.draw(st.sampled_from(self.taken))
        self.queue.correct(entry, size)
        self.taken.remove(entry)

    @precondition(lambda self: not self.waiting)
    @rule()
    def forget(self):
        self.queue.forget()

    @rule(tenant=st.sampled_from(TENANTS), weight=st.integers(1, 16))
    def crowd(self, tenant, weight):
        loser = self.queue.crowded_out(tenant, weight)
        if loser is not None:
            owner = loser.item[0]
            assert owner != tenant
            assert loser is [e for e in self.waiting if e.item[0] == owner][-1]

    @invariant()
    def as_many_wait_as_came_and_did_not_go(self):
        assert len(self.queue) == len(self.waiting)
        kept = {entry for flow in self.queue._waiting.values() for entry in flow.entries}
        assert kept == set(self.waiting)
        loads = sum(flow.load for flow in self.queue._flows.values())
        assert loads == sum(entry.size for entry in self.waiting)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
