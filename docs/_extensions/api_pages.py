"""Writes the pages of the API before the site is built: every public name, by section."""

import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import hondo
import hondo.data
import hondo.lecture
import hondo.linen
import hondo.nnx

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# A public name is in the first section with a prefix of the module that defines it.
SECTIONS = {
    "penalties": ("Norm penalties and constraints", ["regularization.penalties"]),
    "early_stopping": ("Early stopping", ["regularization.early_stopping"]),
    "multitask": ("Multitask learning", ["regularization.multitask"]),
    "ensembles": ("Ensembles and averages", ["regularization.ensembles"]),
    "noise": ("Noise", ["regularization.noise"]),
    "dropout": ("Dropout", ["regularization.dropout"]),
    "augmentation": ("Augmentation", ["regularization.augmentation"]),
    "activations": ("Activations", ["gradients.activations"]),
    "residual": ("Residual connections and depth", ["gradients.residual", "gradients.repeat"]),
    "initialization": ("Initialization", ["gradients.initialization"]),
    "clipping": ("Clipping", ["gradients"]),
    "normalization": ("Normalization", ["normalization", "_fast.convolution"]),
    "diagnosis": ("Diagnosis", ["diagnosis"]),
    "parameters": ("Parameters and their roles", ["parameters"]),
    "training": ("Training", ["training", ""]),
}
MODULES = {
    "linen": ("Modules for flax.linen", hondo.linen),
    "nnx": ("Modules for flax.nnx", hondo.nnx),
    "data": ("Data", hondo.data),
    "lecture": ("The lecture's experiments", hondo.lecture),
}


def section_of(name: str) -> str:
    """The section of a public name of hondo."""
    value = getattr(hondo, name)
    # A table has no module of its own: that of its entries.
    source = next(iter(value.values())) if isinstance(value, dict) else value
    path = getattr(source, "__module__", "").removeprefix("hondo").lstrip(".")
    return next(
        key
        for key, (_, prefixes) in SECTIONS.items()
        if any(path == p or not p or path.startswith(f"{p}.") for p in prefixes)
    )


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    names = [n for n in hondo.__all__ if not inspect.ismodule(getattr(hondo, n))]
    sections = {key: [n for n in names if section_of(n) == key] for key in SECTIONS}
    found = {
        key: _page(SECTIONS[key][0], hondo, _functions_first(hondo, own))
        for key, own in sections.items()
    }
    theory = [n for n in hondo.diagnosis.__all__ if n not in hondo.__all__]
    found["diagnosis"] += _entries(hondo.diagnosis, _functions_first(hondo.diagnosis, theory))
    found |= {
        key: _page(title, module, _functions_first(module, module.__all__))
        for key, (title, module) in MODULES.items()
    }
    tree = "\n".join(found)
    found["index"] = f"# API\n\nEvery public name, by section.\n\n```{{toctree}}\n{tree}\n```\n"
    return {f"{name}.md": text for name, text in found.items()}


def _functions_first(module: ModuleType, names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: (name[0].isupper(), name.lower()))


def _page(title: str, module: ModuleType, names: list[str]) -> str:
    about = inspect.getdoc(module) if module is not hondo else None
    lead = f"```{{eval-rst}}\n.. automodule:: {module.__name__}\n```\n\n" if about else ""
    return f"# {title}\n\n{lead}{_entries(module, names)}"


def _entries(module: ModuleType, names: list[str]) -> str:
    return "".join(
        f"## {name}\n\n```{{eval-rst}}\n.. {_directive(getattr(module, name))}:: "
        f"{module.__name__}.{name}\n{_options(getattr(module, name))}```\n\n"
        for name in names
    )


def _directive(value: object) -> str:
    if inspect.isclass(value):
        return "autoclass"
    return "autofunction" if callable(value) else "autodata"


def _options(value: object) -> str:
    if inspect.isclass(value):
        return "   :members:\n   :no-undoc-members:\n"
    return "" if callable(value) else "   :no-value:\n"


def _write(app: "Sphinx") -> None:
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: "Sphinx") -> dict[str, bool]:
    """At the start of a build."""
    app.connect("builder-inited", _write)
    return {"parallel_read_safe": True}
