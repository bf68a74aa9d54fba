"""Importing existing segments by name, with their known members."""

import pytest

from segctl.core.errors import AppliedInPart
from tests.e2e.workshop import Workshop, identities, segment


def test_import_resolves_a_create_refused_for_an_existing_segment(shop: Workshop) -> None:
    shop.service.foreign("gold")
    shop.declare(segment("gold", "a", "b"), segment("rest", "a"))
    with pytest.raises(AppliedInPart, match="CleverTap already has segment"):
        shop.apply()
    assert shop.run("import", "segment.gold").code == 0
    assert not shop.service.members("gold")
    shop.apply()
    shop.settled()
    assert shop.service.members("gold") == identities("a", "b")


def test_imported_members_are_compared_with_the_declared_ones(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("a", "b", "c")
    shop.write("known.csv", "identity\na\nb\nc\n")
    shop.declare(segment("gold", "b", "c", "d"))
    assert shop.run("import", "segment.gold", "--members", "known.csv").code == 0
    assert not shop.service.requests
    plan = shop.apply().plan
    assert (plan.members_add, plan.members_remove) == (1, 1)
    shop.settled()
    assert shop.service.members("gold") == identities("b", "c", "d")


def test_a_segment_imported_by_its_clevertap_id_is_addressed_by_it(shop: Workshop) -> None:
    made = shop.service.foreign("whatever")
    shop.declare(segment("gold", "a"))
    number = str(made.ct_segment_id)
    ran = shop.run("import", "segment.gold", "--ct-segment-id", number)
    assert ran.code == 0, ran.err
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {"whatever": identities("a")}
