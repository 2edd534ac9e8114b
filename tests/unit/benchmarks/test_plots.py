"""The pictures of the documentation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.plots import save_balancing, save_bandwidth, save_batching, save_request_stages

LATENCIES = {"ours": {0.2: 20.0, 0.5: 90.0}, "window of 10 ms": {0.2: 21.0, 0.5: 91.0}}
WAYS = {"ours": {20: 9.0, 50: 9.5}, "random": {20: 900.0, 50: 9.6}}
ROUTES = {"proxy": {1: 9.0, 2: 9.5}, "direct": {1: 9.0, 2: 18.0}}

PICTURES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "bandwidth": (
        partial(save_bandwidth, series=ROUTES, link_mb_s=9, link_name="L"),
        {"proxy: 9.5", "direct: 18.0"},
    ),
    "balancing": (
        partial(save_balancing, series=WAYS, clients=5, load=0.7, slower=5),
        {"ours: 9.5", "random: 9.6", "20", "50"},
    ),
    "batching": (
        partial(save_batching, rows={"p99": {"Poisson": LATENCIES, "recorded": LATENCIES}}),
        {"ours", "window of 10 ms", "p99, Poisson", "p99, recorded", "20%"},
    ),
    "request": (
        partial(save_request_stages, rows={"a form": (1.0, 30.0)}, stages=("decode", "predict"), cores=2),
        {"decode", "predict", "30.0", "31.0 ms"},
    ),
}


def texts(file: Path) -> set[str]:
    """The texts of a picture, which are text elements and not outlines."""
    tree = ElementTree.parse(file)
    return {"".join(one.itertext()).strip() for one in tree.iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_its_names_and_figures_as_text(name: str, tmp_path: Path) -> None:
    """Readers can search for them and copy them."""
    save, expected = PICTURES[name]
    save(tmp_path / "picture.svg")
    assert expected <= texts(tmp_path / "picture.svg")


@pytest.mark.parametrize("name", PICTURES)
def test_equal_figures_give_equal_files_without_a_background(name: str, tmp_path: Path) -> None:
    """A picture that is drawn again changes nothing in the repository, and is readable on light and dark pages."""
    save, _ = PICTURES[name]
    for file in ("one.svg", "two.svg"):
        save(tmp_path / file)
    one = (tmp_path / "one.svg").read_text()
    assert one == (tmp_path / "two.svg").read_text()
    background = ElementTree.parse(tmp_path / "one.svg").find(".//*[@id='patch_1']/*")
    assert background is None or "fill: none" in background.get("style", "")
