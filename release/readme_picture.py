"""The picture in README.md: what `GET …/thumbnail` returns for sample files that come with pydicom.

`python -m release.readme_picture` draws it anew, with the code that the deployed functions run.
"""

from io import BytesIO
from pathlib import Path

from PIL import Image
from pydicom.data import get_testdata_file

from imaging import render
from release.shipped import ROOT

FILE = ROOT / "docs/images/thumbnails.png"
SAMPLES = ("CT_small.dcm", "MR_small.dcm", "examples_ybr_color.dcm", "JPEG-LL.dcm")
SIZE, GAP = 160, 8


def draw() -> Image.Image:
    """Return the thumbnails of the sample files, side by side."""
    strip = Image.new("RGB", (len(SAMPLES) * (SIZE + GAP) - GAP, SIZE), "white")
    for column, name in enumerate(SAMPLES):
        path = get_testdata_file(name)
        with Path(str(path)).open("rb") as stream:
            picture = render(stream, size=SIZE)
        thumbnail = Image.open(BytesIO(picture.data)).convert("RGB")
        left = column * (SIZE + GAP) + (SIZE - thumbnail.width) // 2
        strip.paste(thumbnail, (left, (SIZE - thumbnail.height) // 2))
    return strip


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    draw().save(FILE, optimize=True)
