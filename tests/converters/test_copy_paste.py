"""A lesion of one film can stand in another, and the label goes with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converters import cli
from tests.converters.conftest import PLAIN, SIDE, write_recipe

SEEN = np.zeros((4, SIDE, SIDE), dtype=np.uint8)
MASKS = np.zeros((4, SIDE, SIDE), dtype=bool)
SEEN[:] = 60
for donor, grey in ((2, 200), (3, 20)):
    MASKS[donor, 10:22, 12:26] = True
    SEEN[donor][MASKS[donor]] = grey
POSITIVE = np.array([False, True, True, False])
"""Films 0 and 1 have no outlined lesion; that of film 2 is malignant, that of film 3 is benign."""


def paste_lesions(
    rows: list[int], chance: float = 1.0, positive: np.ndarray[Any, Any] = POSITIVE, seed: int = 0
) -> Any:
    import torch

    from converters.training.copy_paste import Lesions
    from converters.training.copy_paste import paste as paste

    index = np.array(rows, dtype=np.int64)
    films = torch.from_numpy(SEEN[index]).float().unsqueeze(1) / 255.0
    rng = torch.Generator().manual_seed(seed)
    return films, *paste(films, index, SEEN, Lesions(MASKS, positive), chance, rng)


def test_a_benign_film_with_a_malignant_lesion_takes_its_donors_target_and_no_other_does() -> None:
    rows = [0, 1, 0, 1, 2, 3] * 6
    films, out, told = paste_lesions(rows)
    brighter = (out - films).flatten(1).amax(dim=1) > 0.2
    assert brighter.any()
    assert (~brighter).any()
    for row, bright, target in zip(rows, brighter.tolist(), told, strict=True):
        assert target == (2 if bright and row in (0, 3) else row)


def test_the_lesion_comes_whole_with_a_soft_edge_and_nothing_else_of_its_film() -> None:
    import torch

    from converters.training.copy_paste import blend, feather

    donor = torch.full((SIDE, SIDE), 0.3)
    mask = torch.from_numpy(MASKS[2])
    donor[mask] = 0.9
    film = torch.full((SIDE, SIDE), 0.5)
    for where in ((0.0, 0.0), (0.99, 0.99), (0.4, 0.7)):
        out = blend(film, donor, mask, where)
        # Its surroundings were 0.2 darker than here, so all of it is lifted by that, and nothing around it shows.
        assert int(((out - 1.0).abs() < 0.02).sum()) == int(mask.sum())
        changed = (out - film).abs() > 1e-4
        rows, columns = (changed.any(dim=side).nonzero() for side in (1, 0))
        assert int(rows.max() - rows.min()) == 11
        assert int(columns.max() - columns.min()) == 13
    soft = feather(mask)
    assert bool((soft[mask] == 1.0).all())
    assert int(((soft > 0.0) & (soft < 1.0)).sum()) > 0


def write_outlines(films: Path, folder: Path, *, masks: bool) -> Path:
    """The toy films as ``labels.csv``, a round outline for every disc."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = ["file,class"]
    for path in sorted(films.rglob("*.png")):
        (folder / "images" / path.name).write_bytes(path.read_bytes())
        rows.append(f"{path.name},{path.parent.name}")
        if masks and path.parent.name == "disc":
            outline = np.zeros((SIDE, SIDE), np.uint8)
            outline[20:44, 20:44] = 255
            Image.fromarray(outline).save(folder / "masks" / path.name)
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize("masks", [True, False])
def test_a_recipe_pastes_where_there_are_outlines_and_is_refused_where_there_is_none(
    films: Path, tmp_path: Path, masks: bool, fresh_lists: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_outlines(films, tmp_path / "films", masks=masks)
    recipe = write_recipe(tmp_path, **PLAIN, data={"reader": "masks", "folds": 1})
    text = recipe.read_text().replace("[train]\n", "[train]\nchange = { paste = 0.5 }\n")
    recipe.write_text(text)
    done = cli.main(["train", str(recipe), "--data", str(data), "--out", str(tmp_path / "out")])
    assert done == (0 if masks else 1)
    assert ("no film has an outlined lesion" in capfd.readouterr().err) is not masks
