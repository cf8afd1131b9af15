"""A folder of images, the class of each being the folder that it lies in."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hondo._extras import check_extra
from hondo.data.arrays import Scaling
from hondo.data.dataset import Units
from hondo.data.raw import Part, Raw
from hondo.data.views import View

# An image of Pillow, which is imported where one is read.
Image: TypeAlias = Any

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_PARTS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "test": "test",
}
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


@dataclass(frozen=True)
class ImageStore:
    """Images in their files, each read when it is asked for.

    Attributes:
        files: in order.
        pixels: the form that each is brought into.
    """

    files: Sequence[Path]
    pixels: Pixels

    def read(self, positions: np.ndarray) -> np.ndarray:
        """These images."""
        return read_images([self.files[place] for place in positions], self.pixels)

    def read_blocks(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """These images, one at a time."""
        return map(self.read, positions[:, None])


def images(folder: Path | str, *, size: int | None = None, stream: bool = False) -> Raw:
    """A folder with one folder a class, or with `train`, `valid` and `test` of such folders.

    Images of every class are read in the order of their names. Where all are gray, so are the
    inputs; else all are in color. The inputs are in [0, 1].

    Args:
        folder: the folder.
        size: height and width that every image is resized to; by default that of the images, if
            they have one.
        stream: read each image when it is asked for; all need not fit into memory, and a broken one
            is refused only then.

    Returns:
        The source, for `divide`; parts that the folder has stay as they are.

    Raises:
        ValueError: no classes, one class, images of different sizes, a file that is no image; names
            the file.
        FileNotFoundError: no such folder.
        ModuleNotFoundError: without Pillow.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> from hondo.data import divide, images
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name, gray in (("day", 200), ("night", 20)):
        ...     (folder / name).mkdir()
        ...     for n in range(10):
        ...         Image.new("L", (8, 8), gray + n).save(folder / name / f"{n}.png")
        >>> dataset, parts = divide(images(folder), valid=0.2, test=0.2, seed=0)
        >>> dataset.classes, dataset.inputs.shape, dataset.test_inputs.shape
        (('day', 'night'), (16, 8, 8, 1), (4, 8, 8, 1))
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"images must be in a folder, got {folder}, which does not exist.")
    roots = _parts(folder)
    # A folder without an image is no class, such as those that archives of macOS have.
    found = {
        part: {path.name for path in _folders(root) if image_files(path)}
        for part, root in roots.items()
    }
    classes = tuple(sorted(found["train"]))
    if len(classes) < 2:
        raise ValueError(
            f"{folder} must hold a folder of images for each of two or more classes, got "
            f"{list(classes) or 'none'}."
        )
    for part, names in found.items():
        strange = sorted(names - found["train"])
        if strange:
            raise ValueError(
                f"{roots[part]} must hold folders of the classes of {roots['train']}, "
                f"{list(classes)}, got {strange}."
            )
    files = [file for root in roots.values() for file, _ in _files(root, classes)]
    pixels = common_form(files, size)
    read = {
        part: read_classes(folder, root, classes, pixels, stream) for part, root in roots.items()
    }
    train = read["train"]
    task = "binary" if len(classes) == 2 else "classification"
    fit = partial(_fit, tuple(pixels))
    own = read.get("test"), read.get("valid")
    return Raw(folder.name, task, train.examples, train.targets, classes, fit, *own, train.name_of)


def read_classes(
    folder: Path, root: Path, classes: Sequence[str], pixels: Pixels, stream: bool = False
) -> Part:
    """The images of a folder that has one folder a class; they are named from another folder.

    Raises:
        ValueError: a folder that is none of the classes, no image, a file that is none.
    """
    folders = [path for path in _folders(root) if image_files(path)]
    strange = [path.name for path in folders if path.name not in classes]
    if strange:
        raise ValueError(f"{root} must hold folders of the classes {list(classes)}, got {strange}.")
    found = _files(root, classes)
    files = [file for file, _ in found]
    numbers = np.array([number for _, number in found], np.int32)
    stored = View(ImageStore(files, pixels), np.arange(len(files)))
    examples = stored if stream else read_images(files, pixels)
    return Part(examples, numbers, partial(_file_name, folder, files))


def _file_name(folder: Path, files: Sequence[Path], place: int) -> str:
    return str(files[place].relative_to(folder))


def _fit(shape: tuple[int, ...], _: Iterable[np.ndarray]) -> Scaling:
    return Scaling(shape, Units(scale=255.0))


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of the parts; the folder itself as training part where it has none."""
    folders = [path for path in _folders(folder) if image_files(path)]
    named = {_PARTS[p.name.lower()]: p for p in folders if p.name.lower() in _PARTS}
    if "train" not in named:
        return {"train": folder}
    if len(named) != len(folders):
        others = sorted({path.name for path in folders} - {path.name for path in named.values()})
        raise ValueError(
            f"{folder} must hold folders of classes, or parts called train, valid and test, got "
            f"{named['train'].name} and {others}. Move what is no part elsewhere."
        )
    return named


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(root: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    found = [
        (file, number) for number, name in enumerate(classes) for file in image_files(root / name)
    ]
    if not found:
        raise ValueError(f"{root} must hold images ({', '.join(SUFFIXES)}), got none.")
    return found


def image_files(folder: Path) -> list[Path]:
    """The images of a folder and its folders, in the order of their names."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


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
    """The image in a mode of bytes; of 16 bits the upper 8, where Pillow would cut off at 255."""
    import PIL.Image

    if image.mode == "F":
        raise ValueError("an image of floating point numbers, whose range is unknown")
    if image.mode.startswith("I"):
        image = PIL.Image.fromarray(
            (np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8)
        )
    return image.convert(mode)


@contextmanager
def _opened(file: Path) -> Iterator[Image]:
    """The image; whatever is wrong with it is an error that names the file."""
    check_extra("images", "PIL")
    import PIL.Image

    try:
        with PIL.Image.open(file) as image:
            yield image
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as reason:
        raise ValueError(f"{file} must be a whole image, got: {reason}") from None
