"""`hondo lecture`: the lecture's experiments, each with its picture and its verdict."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import tyro

from hondo._numerics.checks import error


@dataclass(frozen=True)
class LectureConfig:
    """Runs experiments of the lecture and says which of its claims are reproduced.

    For example `hondo lecture --list`, `hondo lecture 7 --quick`, `hondo lecture 7 --out fig`.
    Each writes a picture (SVG and PNG), a page with its table, and what each seed measured, from
    which a run that was killed or interrupted goes on by the same command.

    Attributes:
        numbers: which experiments, 1 to 12.
        all: all of them.
        list: what they are and what is written of them already, and nothing more.
        quick: a first look in less than a minute, which decides nothing that depends on chance.
        seeds: how many instead of those planned, in which case chance decides nothing.
        lang: of pictures and pages, en or es.
        out: the folder to write into.
        data_dir: the folder of Fashion-MNIST's files, where they are not in their usual place.
        cache: keep what is compiled in your cache folder, for the next command.
    """

    numbers: tyro.conf.Positional[tuple[int, ...]] = ()
    all: bool = False
    list: bool = False
    quick: bool = False
    seeds: int | None = None
    lang: Literal["en", "es"] = "en"
    out: Path = Path("lecture")
    data_dir: Path | None = None
    cache: bool = True


def prepare(config: LectureConfig) -> Callable[[], int]:
    """Checks which experiments are wanted; returns the work that is left.

    Raises:
        ValueError: none, or a number that there is not.
        ModuleNotFoundError: without the extra `lecture`.
    """
    from hondo._extras import check_extra
    from hondo.lecture import experiments

    check_extra("lecture", "matplotlib", "rich", "scipy", "sklearn")
    if config.list:
        return partial(show_list, config)
    numbers = tuple(experiments) if config.all else config.numbers
    if not numbers or not set(numbers) <= set(experiments):
        expected = "experiments from 1 to 12"
        raise error("numbers", list(numbers), expected, "hondo lecture --list shows them.")
    if config.seeds is not None and config.seeds < 1:
        raise error("seeds", config.seeds, "at least 1")
    return partial(run, config, numbers)


def show_list(config: LectureConfig) -> int:
    """Prints each experiment's number, slides, title and claim."""
    from hondo.lecture import experiments, words

    for number, experiment in experiments.items():
        plan = experiment.plan
        seeds = words.name_seeds(plan.seeds, config.lang)
        where = f"{words.name_slides(plan.slides, config.lang)}; {seeds}"
        print(f"{number:>2}  {plan.title.to(config.lang)} ({where})")
        print(f"    {plan.claim.to(config.lang)}")
    return 0


def run(config: LectureConfig, numbers: tuple[int, ...]) -> int:
    """Runs them one after another; each is written as soon as it is done."""
    from hondo.lecture import experiments

    for number in numbers:
        outcome = experiments[number].run(
            seeds=config.seeds,
            quick=config.quick,
            out=config.out,
            data_dir=config.data_dir,
            progress=sys.stderr.isatty(),
        )
        paths = outcome.save(config.out, config.lang)
        print(outcome.summary(config.lang))
        print("  " + ", ".join(map(str, paths)))
    return 0
