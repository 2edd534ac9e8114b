"""The picture of the confusion matrix, for any labels and any number of them."""

from __future__ import annotations

import pytest
from PIL import Image

from p2pclient.cli.evaluation.metrics import Accuracy
from p2pclient.cli.evaluation.plot import plot


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param([], id="no image"),
        pytest.param(["tabby"], id="one class"),
        pytest.param(["$price", "a $b^$ c", "日本語", "x" * 60], id="no formulas, no font, too long"),
        pytest.param([f"class {number}" for number in range(70)], id="more classes than names fit"),
    ],
)
def test_it_is_drawn(tmp_path, labels):
    """A PNG is written, without a warning: the last label is taken for one that is nobody's."""
    accuracy = Accuracy()
    for label in labels:
        accuracy.add(label, [label, "lynx"])
    if labels:
        accuracy.add(labels[-1], ["something else"])
    plot(accuracy, str(tmp_path / "confusion.png"))
    with Image.open(tmp_path / "confusion.png") as image:
        assert image.format == "PNG"
        assert min(image.size) >= 300


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    """The command names the file and the reason."""
    with pytest.raises(OSError, match="No such file"):
        plot(Accuracy(), str(tmp_path / "none" / "confusion.png"))
