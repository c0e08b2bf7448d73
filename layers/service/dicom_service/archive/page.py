"""``index.html`` of an archive: one file that shows pictures and reports from wherever it lies, without a server."""

import base64
import html
from collections.abc import Iterator, Sequence
from typing import Any

README = """\
This folder holds a medical imaging exam.

index.html   Open it with a browser to see pictures and reports. It needs no internet connection. Unpack the
             whole ZIP first. The pictures are small copies, not for diagnosis.
DICOMDIR     The table of contents for medical viewers: open it, or this whole folder, with one.
DICOM        The original files of the exam.
REPORTS      Reports that came as PDF, where there are any.
"""

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Imaging exam</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="referrer" content="no-referrer">
<style>
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;margin:auto;max-width:60rem;padding:1rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{opacity:.75}dd{margin:0}
section{border-top:1px solid #8888;margin-top:1.5rem}
figure{background:#000;color:#fff;margin:0;max-width:36rem;text-align:center}
figure img{display:block;margin:auto;max-width:100%;min-height:12rem;object-fit:contain}
[hidden]{display:none!important}
figcaption{padding:.3rem}input[type=range]{max-width:36rem;width:100%}
iframe{border:1px solid #8888;height:70vh;width:100%}
</style></head><body><main>
"""
# The pictures of a series are all there; the slider shows one of them.
_SCRIPT = """<script>
for (const stack of document.querySelectorAll(".stack")) {
  const pictures = [...stack.querySelectorAll("img")], slider = stack.querySelector("input");
  const show = (at) => pictures.forEach((picture, place) => { picture.hidden = place !== at;
    if (place === at) stack.querySelector("figcaption").textContent = picture.alt; });
  slider.addEventListener("input", () => show(Number(slider.value)));
  slider.hidden = pictures.length < 2;
  show(Number(slider.value));
}
</script>"""


def page(exam: dict[str, str], series: Sequence[dict[str, Any]], pictures: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the page.

    Parameters
    ----------
    exam
        What is said of it above, by label.
    series
        Each with ``title``, ``count``, ``pictures`` (number and place of each) and ``reports`` (HTML).
    pictures
        JPEGs, by number.
    """
    yield _HEAD.encode()
    said = {html.escape(name): html.escape(value) for name, value in exam.items() if value}
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in said.items())
    yield f"<h1>Imaging exam</h1><dl>{rows}</dl>".encode()
    yield b"<p>Small copies of the pictures, not for diagnosis. The original files are in the folder DICOM.</p>"
    for one in sorted(series, key=lambda one: not one["reports"]):
        yield f"<section><h2>{html.escape(one['title'])}</h2>".encode()
        for text in one["reports"]:
            yield text.encode()
        yield from _stack(one, pictures)
        yield b"</section>"
    yield ("</main>" + _SCRIPT + "</body></html>\n").encode()


def _stack(series: dict[str, Any], pictures: Sequence[bytes]) -> Iterator[bytes]:
    shown, count = series["pictures"], series["count"]
    if not shown:
        return
    middle = len(shown) // 2
    yield b'<div class="stack"><figure>'
    for place, (number, position) in enumerate(shown):
        hidden = "" if place == middle else " hidden"
        yield f'<img alt="Picture {position} of {count}"{hidden} src="data:image/jpeg;base64,'.encode()
        yield base64.b64encode(pictures[number]) + b'">'
    yield f"<figcaption>Picture {shown[middle][1]} of {count}</figcaption></figure>".encode()
    label = html.escape(f"Pictures of {series['title']}", quote=True)
    slider = f'<input type="range" min="0" max="{len(shown) - 1}" value="{middle}" aria-label="{label}"></div>'
    yield slider.encode()


def pdf_frame(path: str) -> str:
    """Return what shows a PDF that lies beside the page."""
    return f'<p><a href="{path}">Report as PDF</a></p><iframe src="{path}" title="Report"></iframe>'
