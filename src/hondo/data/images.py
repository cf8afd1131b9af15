"""A folder of images, the class of each being the folder that it lies in."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hondo.data.arrays import Scaling
from hondo.data.dataset import Units
from hondo.data.image_files import (
    SUFFIXES,
    Pixels,
    common_form,
    has_image,
    image_files,
    read_images,
)
from hondo.data.raw import Part, Raw
from hondo.data.views import View

_PARTS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "test": "test",
}


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
    classes = tuple(path.name for path in _class_folders(roots["train"]))
    if len(classes) < 2:
        raise ValueError(
            f"{folder} must hold a folder of images for each of two or more classes, got "
            f"{list(classes) or 'none'}."
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
    folders = _class_folders(folder)
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


def _class_folders(folder: Path) -> list[Path]:
    """The folders that have an image; others are no classes, such as archives of macOS have."""
    folders = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return sorted(path for path in folders if has_image(path))


def _files(root: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    strange = [path.name for path in _class_folders(root) if path.name not in classes]
    if strange:
        raise ValueError(f"{root} must hold folders of the classes {list(classes)}, got {strange}.")
    found = [
        (file, number) for number, name in enumerate(classes) for file in image_files(root / name)
    ]
    if not found:
        raise ValueError(f"{root} must hold images ({', '.join(SUFFIXES)}), got none.")
    return found
