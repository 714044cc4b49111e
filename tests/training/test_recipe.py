"""Recipes: those of the package, files, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lolvit.errors import UserError
from lolvit_training.recipe import read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_package_is_valid(name: str) -> None:
    assert read_recipe(name, {}).epochs >= 1


def test_changes_reach_nested_fields() -> None:
    recipe = read_recipe("small", {"epochs": 2, "optimizer.lr": 0.5, "distillation.teacher": "a",
                                   "distillation.weights": "b"})  # fmt: skip
    assert (recipe.epochs, recipe.optimizer.lr) == (2, 0.5)
    assert recipe.distillation is not None and recipe.distillation.teacher == "a"


def test_a_recipe_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "epochs = 1\nbatch_size = 4\nsize = 64\ncrop_pct = 1.0\n[optimizer]\nlr = 0.1\n"
    )
    assert read_recipe(str(path), {}).optimizer.lr == 0.1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "not a recipe"),
        ("epochs = 0\nbatch_size = 4\nsize = 64\ncrop_pct = 1.0\n[optimizer]\nlr = 0.1", "epochs"),
        (
            "epochs = 1\nbatch_size = 4\nsize = 64\ncrop_pct = 1.0\n[optimizer]\nrate = 1",
            "optimizer",
        ),
    ],
)
def test_a_wrong_recipe_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_recipe(str(path), {})


def test_nesting_without_an_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("epochs = " + "[" * 5000)
    with pytest.raises(UserError, match="not a recipe"):
        read_recipe(str(path), {})


def test_a_change_inside_what_is_no_table_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("optimizer = 3")
    with pytest.raises(UserError, match="'optimizer' is not a table"):
        read_recipe(str(path), {"optimizer.lr": 0.1})


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(
        UserError,
        match=r"choose from: agreement, bdd100k, coco, detection, .*, imagenet, int8, .*, small",
    ):
        read_recipe("large", {})


def test_early_epochs_are_smaller_and_never_larger_than_the_last() -> None:
    recipe = read_recipe("small", {"epochs": 4, "size": 192})
    sides = [recipe.size_at(epoch)[0] for epoch in range(4)]
    assert sides == [128, 128, 192, 192]
    assert read_recipe("small", {"size": 64}).size_at(0) == (64, 64)


@pytest.mark.parametrize(("size", "written"), [(64, 64), ((64, 96), [64, 96])])
def test_a_size_is_one_number_or_height_and_width(size: object, written: object) -> None:
    recipe = read_recipe("detection", {"size": size})
    assert recipe.model_dump(mode="json")["size"] == written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (64, 96)}, "classification takes square images"),
        ({"size": (64, 4)}, "size"),
        ({"backbone_lr_scale": 0.5}, "are for detection and segmentation"),
        ({"cached_views": 1}, "are for detection and segmentation"),
    ],
)
def test_what_a_classifier_can_not_have_is_one_line(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_recipe("int8", changes)
