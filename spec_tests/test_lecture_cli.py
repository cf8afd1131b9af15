"""`hondo lecture` as a user meets it."""

import pytest
from test_cli import hondo, refused

from hondo.cli.lecture import LectureConfig, prepare


@pytest.mark.parametrize("numbers", [(), (0,), (13,), (7, 99)])
def test_numbers_that_there_are_not_are_refused(numbers) -> None:
    with pytest.raises(ValueError, match="numbers must be experiments from 1 to 12, got"):
        prepare(LectureConfig(numbers))


def test_no_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        prepare(LectureConfig((7,), seeds=0))


@pytest.mark.parametrize(
    ("lang", "word"), [("en", "slides 9, 10; 30 seeds"), ("es", "30 semillas")]
)
def test_the_list_names_all_twelve(lang, word, capsys) -> None:
    assert prepare(LectureConfig(list=True, lang=lang))() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [int(line[:2]) for line in lines[::2]] == list(range(1, 13))
    assert word in lines[12]


@pytest.mark.slow
def test_a_first_look_writes_picture_table_and_measures(tmp_path) -> None:
    done = hondo(tmp_path, "lecture", "7", "--quick", "--lang", "es", "--out", "fig")
    assert done.returncode == 0, done.stderr
    assert "no concluyente" in done.stdout
    assert {
        path.name.removeprefix("07-vanishing-quick.") for path in (tmp_path / "fig").iterdir()
    } == {
        "es.svg",
        "es.png",
        "es.md",
        "seeds.jsonl",
    }
    refused(hondo(tmp_path, "lecture", "13"), "numbers must be experiments from 1 to 12, got [13]")
