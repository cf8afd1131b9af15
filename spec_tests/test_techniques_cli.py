"""`hondo list` names what there is."""

import dataclasses
import os
import subprocess
import sys

import pytest

import hondo
from hondo.cli.config import TrainConfig
from hondo.cli.techniques import TECHNIQUES, ListConfig, prepare

FLAGS = {"--" + field.name.replace("_", "-") for field in dataclasses.fields(TrainConfig)}


def test_every_technique_is_public_and_its_option_one_of_train() -> None:
    assert {t.function for t in TECHNIQUES} <= set(hondo.__all__)
    assert {t.flag for t in TECHNIQUES} - FLAGS == {"", "hondo diagnose"}
    assert len({t.function for t in TECHNIQUES}) == len(TECHNIQUES)
    assert [t.slide for t in TECHNIQUES] == sorted(t.slide for t in TECHNIQUES)


def test_the_list_is_that_of_a_slide(capsys) -> None:
    assert prepare(ListConfig(slide=13))() == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["slide", "hondo.", "hondo", "train"]
    assert [line.split()[:2] for line in lines] == [
        ["13", "residual"],
        ["13", "repeat"],
        ["13", "zero_last"],
    ]


def test_a_slide_without_a_technique_is_refused() -> None:
    with pytest.raises(ValueError, match=r"slide must be one of 2, 3, 4, .*, got 99"):
        prepare(ListConfig(slide=99))


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_told_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from hondo.cli import main; main()", "list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=120)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
