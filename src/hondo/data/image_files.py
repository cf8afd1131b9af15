"""Images in files, read into bytes of one form."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hondo._extras import check_extra

# An image of Pillow, which is imported where one is read.
Image: TypeAlias = Any

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_GRAY = ("1", "L", "I", "I;16", "I;16B", "F")
_ORIENTATION = 0x0112


class Pixels(NamedTuple):
    """The form that every image is brought into.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 1 for gray, 3 for color.
    """

    height: int
    width: int
    channels: int


def image_files(folder: Path) -> list[Path]:
    """The images of a folder and its folders, in the order of their names."""
    return sorted(_find_images(folder))


def has_image(folder: Path) -> bool:
    """Whether there is one in a folder or its folders."""
    return next(_find_images(folder), None) is not None


def _find_images(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _is_of_images(Path(root, name))]
        for path in (Path(root, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield path


def _is_of_images(folder: Path) -> bool:
    """No folder that is hidden, as those of thumbnails, and none of a run, which has pictures."""
    return not folder.name.startswith(".") and not (folder / "config.json").is_file()


def common_form(files: Sequence[Path], size: int | None) -> Pixels:
    """The size and the channels of all the images.

    Raises:
        ValueError: images of different sizes, and none asked for.
    """
    heads = [_head(file) for file in files]
    channels = 1 if all(gray for _, gray in heads) else 3
    if size is not None:
        if not 1 <= size <= 4096:
            raise ValueError(f"size must be in [1, 4096] pixels, got {size}.")
        return Pixels(size, size, channels)
    first = heads[0][0]
    for file, (shape, _) in zip(files, heads, strict=True):
        if shape != first:
            raise ValueError(
                f"images must have one size, got {first[1]}×{first[0]} in {files[0]} and "
                f"{shape[1]}×{shape[0]} in {file}. Resize them with --size 64."
            )
    return Pixels(*first, channels)


def _head(file: Path) -> tuple[tuple[int, int], bool]:
    """Height and width as shown, and whether the image is gray; its pixels are not read."""
    with _opened(file) as image:
        shape = image.height, image.width
        is_turned = _is_photograph(image) and image.getexif().get(_ORIENTATION, 1) >= 5
        return shape[::-1] if is_turned else shape, image.mode in _GRAY


def read_images(files: Sequence[Path], pixels: Pixels) -> np.ndarray:
    """The images as bytes, (n, height, width, channels).

    Raises:
        ValueError: a file that is no image, or a broken one.
    """
    out = np.empty((len(files), *pixels), np.uint8)
    for place, file in enumerate(files):
        out[place] = _read(file, pixels)
    return out


def _read(file: Path, pixels: Pixels) -> np.ndarray:
    from PIL import ImageOps

    with _opened(file) as image:
        upright = ImageOps.exif_transpose(image) if _is_photograph(image) else image
        shown = _bytes(upright, "L" if pixels.channels == 1 else "RGB")
        if shown.size != (pixels.width, pixels.height):
            shown = shown.resize((pixels.width, pixels.height))
        return np.asarray(shown, np.uint8).reshape(pixels)


def _is_photograph(image: Image) -> bool:
    """Whether the file may say which way up the camera was; of a PNG it costs a whole reading."""
    return image.format != "PNG"


def _bytes(image: Image, mode: str) -> Image:
    """The image in a mode of bytes, on white where it is transparent.

    Of 16 bits it has the upper 8, where Pillow would cut off at 255.
    """
    import PIL.Image

    if image.mode == "F":
        raise ValueError("an image of floating point numbers, whose range is unknown")
    if image.mode.startswith("I"):
        image = PIL.Image.fromarray(
            (np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8)
        )
    return (_on_white(image) if image.has_transparency_data else image).convert(mode)


def _on_white(image: Image) -> Image:
    import PIL.Image

    colors = image.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", colors.size, "white"), colors)


@contextmanager
def _opened(file: Path) -> Iterator[Image]:
    """The image; whatever is wrong with it is an error that names the file."""
    check_extra("images", "PIL")
    import PIL.Image

    try:
        with PIL.Image.open(file) as image:
            yield image
    except Exception as reason:
        raise ValueError(f"{file} must be a whole image, got: {reason}") from None
