"""The licence of a pack's weights is no freer than that of the data that they learnt from."""

import pytest

from converters.packing import licences

FREE = (
    ("NIH ChestX-ray14", "free use with attribution (NIH Clinical Center)"),
    ("BUSI", "CC BY 4.0"),
    ("Hannover", "CC BY 3.0"),
    ("DenseNet-121", "BSD-3-Clause"),
    ("ImageNet weights", "Apache-2.0"),
    ("drawn", "CC0"),
)


def test_weights_of_free_data_are_apache_unless_the_words_say_another() -> None:
    assert licences.find_weights_licence(None, FREE) == "Apache-2.0"
    assert licences.find_weights_licence("CC-BY-4.0", FREE) == "CC-BY-4.0"
    assert licences.find_weights_licence("CC-BY-NC-4.0", FREE) == "CC-BY-NC-4.0"
    assert licences.find_weights_licence(None, FREE, brought=True) is None


@pytest.mark.parametrize(
    "licence",
    [
        "CC BY-NC 4.0",
        "CC-BY-NC-SA-4.0",
        "Kaggle competition rules: academic research and education, non-commercial",
        "research use, published with Chauhan et al. PLoS ONE 2014; no licence text in the copy",
        "noncommercial",
    ],
)
@pytest.mark.parametrize("said", [None, "Apache-2.0", "CC-BY-4.0"])
def test_weights_of_non_commercial_data_are_non_commercial_or_the_pack_is_not_made(
    licence: str, said: str | None
) -> None:
    data = (*FREE, ("restricted", licence))
    with pytest.raises(ValueError, match=r'“restricted” is non-commercial: write weights_licence = "CC-BY-NC-4.0"'):
        licences.find_weights_licence(said, data)
    with pytest.raises(ValueError, match="restricted"):
        licences.find_weights_licence(said, data, brought=True)
    assert licences.find_weights_licence("CC-BY-NC-4.0", data) == "CC-BY-NC-4.0"
