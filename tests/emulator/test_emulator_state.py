"""Segments and profiles in memory agree with plain sets."""

from hypothesis import given
from hypothesis import strategies as st

from segctl.emulator.storage.database import Database
from segctl.emulator.storage.profiles import Profiles
from segctl.emulator.storage.state import ADD, REACH_BITS, REMOVE, Account, Segment

PROFILES = 60
DATABASE = Database(folder=None)

numbers = st.lists(st.integers(0, PROFILES - 1))
reaches = st.lists(st.integers(0, 7), min_size=PROFILES, max_size=PROFILES)


def account_with(reaches: list[int]) -> Account:
    profiles = Profiles(DATABASE.connection, account_number=1, account="A")
    account = Account(number=1, id="A", passcode=None, profiles=profiles)
    account.set_reach(dict(enumerate(reaches)))
    account.add_segment(Segment(id=1, customer_id="gold", name="Gold", created_at=0))
    return account


def count_reachable(members: set[int], reaches: list[int]) -> dict[str, int]:
    return {
        "any": sum(reaches[number] != 0 for number in members),
        **{
            channel: sum(bool(reaches[number] & bit) for number in members)
            for channel, bit in REACH_BITS.items()
        },
    }


@given(reaches, st.lists(st.tuples(st.sampled_from([ADD, REMOVE]), numbers)))
def test_a_segment_adds_and_removes_as_a_set_does(
    reaches: list[int], steps: list[tuple[str, list[int]]]
) -> None:
    account, model = account_with(reaches), set[int]()
    segment = account.segments[1]
    for action, users in steps:
        changed = segment.change(action, users, account.profiles)
        distinct = list(dict.fromkeys(users))
        assert list(changed) == [each for each in distinct if (each in model) == (action == REMOVE)]
        model = model | set(users) if action == ADD else model - set(users)
        assert len(segment.members) == len(model)
        assert segment.reachable == count_reachable(model, reaches)
    assert list(segment.members) == sorted(model)
    assert all((number in segment.members) == (number in model) for number in range(PROFILES + 9))


@given(reaches, numbers, st.dictionaries(st.integers(0, PROFILES - 1), st.integers(0, 7)))
def test_a_new_reach_is_counted_in_every_segment(
    reaches: list[int], users: list[int], changes: dict[int, int]
) -> None:
    account = account_with(reaches)
    segment = account.segments[1]
    segment.change(ADD, users, account.profiles)
    account.set_reach(changes)
    after = [changes.get(number, reach) for number, reach in enumerate(reaches)]
    assert segment.reachable == count_reachable(set(users), after)
    for channel, bit in REACH_BITS.items():
        reachable = [number for number in range(PROFILES) if after[number] & bit]
        assert list(account.profiles.reachable[channel]) == reachable


@given(numbers, numbers)
def test_a_change_of_a_segment_does_not_affect_a_copy_of_its_members(
    before: list[int], after: list[int]
) -> None:
    account = account_with([0] * PROFILES)
    segment = account.segments[1]
    segment.change(ADD, before, account.profiles)
    copy = segment.members.copy()
    segment.change(ADD, after, account.profiles)
    assert list(copy) == sorted(set(before))
