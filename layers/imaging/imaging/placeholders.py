"""Draw a labelled picture for what has none of its own."""

from typing import TYPE_CHECKING

from imaging.encoded_picture import MediaType, Picture, encode

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

_BACKGROUND, _BORDER, _TEXT = 38, 96, 235
_SMALLEST_FONT = 7


def placeholder(label: str, *, size: int = 256, media_type: MediaType = "image/jpeg", quality: int = 85) -> Picture:
    """Return a square gray picture that bears a label, as large as fits, in Pillow's built-in font.

    Parameters
    ----------
    label
        A few words; they are broken into lines at spaces.
    size
        Width and height in pixels.
    media_type
        JPEG or PNG.
    quality
        JPEG quality, 1 to 95.
    """
    from PIL import Image, ImageDraw

    image = Image.new("L", (size, size), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size - 1, size - 1), outline=_BORDER, width=max(1, size // 64))
    text, font = _fit(draw, label.split() or [""], size)
    draw.multiline_text((size / 2, size / 2), text, fill=_TEXT, font=font, anchor="mm", align="center")
    return encode(image, media_type=media_type, quality=quality)


def _fit(draw: "ImageDraw", words: list[str], size: int) -> "tuple[str, FreeTypeFont | ImageFont]":
    """Return the label broken into lines, and the largest font in which they fit within the border."""
    from PIL import ImageFont

    room = size * 0.9
    font = ImageFont.load_default(_SMALLEST_FONT)
    for points in range(max(_SMALLEST_FONT, size // 6), _SMALLEST_FONT - 1, -1):
        font = ImageFont.load_default(points)
        text = _wrap(draw, words, font, room)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font)
        if right - left <= room and bottom - top <= room:
            return text, font
    return _wrap(draw, words, font, room), font


def _wrap(draw: "ImageDraw", words: list[str], font: "FreeTypeFont | ImageFont", room: float) -> str:
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]} {word}"
        if draw.textlength(longer, font=font) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
