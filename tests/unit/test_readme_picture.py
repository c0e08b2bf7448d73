"""The picture in README.md is what the code draws."""

import numpy as np
from PIL import Image

from release.readme_picture import FILE, draw
from release.shipped import ROOT


def test_the_picture_is_what_the_code_draws() -> None:
    drawn = np.asarray(draw(), dtype=int)
    committed = np.asarray(Image.open(FILE).convert("RGB"), dtype=int)
    assert drawn.shape == committed.shape
    assert drawn.std() > 30  # there is something to see
    # Encoders of other versions may round differently.
    assert np.abs(drawn - committed).mean() < 2


def test_the_readme_shows_it() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert f"]({FILE.relative_to(ROOT).as_posix()})" in text
