"""The difference between two Models, as data."""

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from onehop.model.model import Change, Model, change_between, key_of, model_of, with_change
from tests.model.anything import models


@given(models(), models())
def test_a_change_leads_from_one_model_to_the_other(have: Model, want: Model) -> None:
    """What differs is in the Change, what does not is not."""
    change = change_between(have, want)

    assert with_change(have, change) == want
    assert bool(change) is (have != want)
    assert not set(have.rows()) & set(change.upserts)
    assert {key_of(row) for row in have.rows()} >= set(change.removals)


@given(models(), models(), models())
def test_two_changes_can_be_made_in_one(first: Model, second: Model, third: Model) -> None:
    """`then` keeps the last word on each row, and at most one entry for it."""
    both = change_between(first, second).then(change_between(second, third))

    assert with_change(first, both) == third
    keys = [*map(key_of, both.upserts), *both.removals]
    assert len(keys) == len(set(keys))


@given(models(), st.randoms())
def test_equal_meaning_is_equal_bytes(model: Model, random: Random) -> None:
    """A Model is the same whatever order its rows came in, and survives being written down."""
    rows = list(model.rows())
    random.shuffle(rows)

    again = model_of(rows)

    assert again == model
    assert msgspec.json.encode(again) == msgspec.json.encode(model)
    assert msgspec.json.decode(msgspec.json.encode(model), type=Model) == model


@given(models())
def test_no_change_is_false(model: Model) -> None:
    """`if change:` asks whether there is anything to do."""
    assert not Change()
    assert not change_between(model, model)
