from dataclasses import replace

from train.data.prepared_set import Prepared
from train.fitting.recipe import Recipe
from train.fitting.selection import pictures_of_an_epoch, times_shown


def test_a_source_kept_out_is_not_learnt(prepared: Prepared, recipe: Recipe) -> None:
    source = prepared.rows[0].source
    assert len(pictures_of_an_epoch(prepared, recipe)) > 0
    out = recipe.model_copy(update={"without": [source]})
    learnt = pictures_of_an_epoch(prepared, out)
    assert source not in {prepared.rows[row].source for row in learnt}


def test_young_children_are_not_learnt(prepared: Prepared, recipe: Recipe) -> None:
    prepared.rows[:] = [
        replace(row, age=(9, 10, None)[number % 3], split="train")
        for number, row in enumerate(prepared.rows)
    ]
    ages = [prepared.rows[number].age for number in pictures_of_an_epoch(prepared, recipe)]
    assert (len(ages), set(ages)) == (80, {10, None})


def test_a_small_source_is_shown_more_often(prepared: Prepared, recipe: Recipe) -> None:
    often = recipe.model_copy(update={"repeat": {"faces": 2.5}})
    rows = pictures_of_an_epoch(prepared, often)
    assert rows.tolist() == pictures_of_an_epoch(prepared, recipe).tolist()
    assert set(times_shown(prepared, rows, often)) == {2.5}
    assert set(times_shown(prepared, rows, recipe)) == {1}


def test_fewer_pictures_are_always_the_same(prepared: Prepared, recipe: Recipe) -> None:
    some = recipe.model_copy(update={"pictures": 20})
    rows = pictures_of_an_epoch(prepared, some)
    assert len(rows) == 20
    more = pictures_of_an_epoch(prepared, recipe.model_copy(update={"pictures": 30}))
    assert set(rows.tolist()) < set(more.tolist())
