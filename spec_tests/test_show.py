"""`hondo show` draws a picture of every technique."""

import dataclasses
import inspect
from xml.etree import ElementTree

import numpy as np
import pytest
from test_cli import hondo as run_hondo

from hondo.cli.show import ShowConfig, given_options, prepare
from hondo.cli.techniques import TECHNIQUES
from hondo.show import options_of, picture
from hondo.show.table import PICTURES

pytestmark = pytest.mark.compile_quickly

# These take a second or more.
SLOW = {
    *("diagnose", "find_activation", "gaussian", "orthogonal", "population_stats", "zero_last"),
    *("clip_by_layer", "adaptive_clip", "batch_norm", "weight_norm", "fold_batch_norm"),
    *("pcgrad", "parameter_noise", "monte_carlo", "max_norm", "stochastic_depth"),
    *("batch_norm_inference", "group_norm", "scale_weights"),
}
OPTIONS = {field.name for field in dataclasses.fields(ShowConfig) if field.default is None} - {
    "technique",
    "out",
}
# Values that are none of the defaults, or the ends of their ranges.
OTHERS = [
    ("dropout", {"keep_prob": 1.0}),
    ("drop_connect", {"keep_prob": 0.0}),
    ("gaussian_dropout", {"keep_prob": 0.0}),
    ("scale_weights", {"keep_prob": 1.0}),
    ("early_stopping", {"patience": 100, "min_delta": 0.1}),
    ("l1_penalty", {"strength": 0.0}),
    ("l2_penalty", {"strength": 100.0}),
    ("gaussian", {"variance": 1.0, "activation": "tanh", "depth": 3, "width": 16}),
    ("find_activation", {"activation": "gelu"}),
    ("saturated", {"activation": "identity", "std": 0.0}),
    ("error_covariance", {"members": 2}),
    ("pcgrad", {"angle": 30.0}),
    ("clip_by_value", {"limit": 0.0}),
]


def check(figure) -> None:
    """It has a title and no empty panel, and is drawn without a warning, which would be raised."""
    assert len(figure.get_suptitle()) > 10
    assert figure.axes
    for axes in figure.axes:
        named = axes.get_title() or axes.get_xlabel() or axes.get_ylabel()
        assert named
        assert axes.has_data() or axes.collections or axes.texts
    figure.draw_without_rendering()


@pytest.mark.slow
@pytest.mark.parametrize(
    "technique", [pytest.param(t, marks=[pytest.mark.slow] * (t in SLOW)) for t in PICTURES]
)
def test_every_technique_has_a_picture(technique) -> None:
    check(picture(technique))


@pytest.mark.slow
@pytest.mark.parametrize(("technique", "options"), OTHERS)
def test_the_picture_is_that_of_the_options(technique, options) -> None:
    check(picture(technique, seed=1, **options))


def test_the_pictures_are_those_of_the_list() -> None:
    assert list(PICTURES) == [technique.function for technique in TECHNIQUES]


def test_every_option_is_one_of_the_command_line_of_the_same_kind() -> None:
    taken = [option for technique in PICTURES for option in options_of(technique).items()]
    assert {name for name, _ in taken} == OPTIONS
    kinds = inspect.get_annotations(ShowConfig, eval_str=True)
    for name, default in taken:
        assert kinds[name] == (str if default is None else type(default)) | None, name


def test_options_that_were_given_are_handed_on() -> None:
    config = ShowConfig("ema", keep_prob=0.0, seed=3)
    assert given_options(config) == {"keep_prob": 0.0}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ShowConfig("dropot"), r"technique must be a technique of `hondo list`, got 'dropot'. Did"),
        (ShowConfig("nothing"), r"technique must be .* got 'nothing'. `hondo show` lists them."),
        (ShowConfig("dropout", std=1.0), r"std must be left out for dropout, got 1.0. Its opt"),
        (ShowConfig("swa", decay=0.5), r"decay must be left out for swa, got 0.5. Its options: no"),
        (ShowConfig("dropout", seed=-1), r"seed must be an integer in \[0, 2\^63\), got -1"),
        (ShowConfig(keep_prob=0.5), "technique must be named, such as dropout, got None"),
    ],
)
def test_what_cannot_be_shown_is_refused(config, message) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(config)


@pytest.mark.parametrize("name", ["x.jpg", "x", "nowhere/x.png"])
def test_files_that_cannot_be_are_refused(name, tmp_path) -> None:
    with pytest.raises(ValueError, match="out must be"):
        prepare(ShowConfig("dropout", out=tmp_path / name))


def test_a_value_out_of_range_writes_nothing(tmp_path) -> None:
    out = tmp_path / "x.svg"
    with pytest.raises(ValueError, match=r"keep_prob must be a number in \[0, 1\], got 2.0"):
        prepare(ShowConfig("dropout", out=out, keep_prob=2.0))()
    assert not out.exists()


def test_the_picture_is_written_and_its_place_printed(tmp_path, capsys) -> None:
    texts = []
    for name in ("a.svg", "b.svg"):
        assert prepare(ShowConfig("label-smoothing", out=tmp_path / name, amount=0.3))() == 0
        texts.append((tmp_path / name).read_text())
    assert capsys.readouterr().out.splitlines()[1] == f"written to {tmp_path / 'b.svg'}"
    assert texts[0] == texts[1]
    found = {element.text for element in ElementTree.fromstring(texts[0]).iter()}
    assert "ε = 0.3, K = 10 classes" in found


def test_a_seed_decides() -> None:
    def drawn(seed: int) -> np.ndarray:
        return np.asarray(picture("gaussian_noise", seed=seed).axes[1].images[0].get_array())

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()


def test_the_list_has_every_technique_with_its_options(capsys) -> None:
    assert prepare(ShowConfig())() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PICTURES)
    assert "early_stopping         --patience 10 --min-delta 0.0" in lines


@pytest.mark.slow
def test_show_as_a_user_meets_it(tmp_path) -> None:
    done = run_hondo(tmp_path, "show", "dropout", "--keep-prob", "0.8", "-o", "masks.png")
    assert (done.returncode, done.stdout) == (0, "written to masks.png\n"), done.stderr
    assert (tmp_path / "masks.png").read_bytes()[:4] == b"\x89PNG"
    assert "warning" not in done.stderr.lower()
