"""`hondo train` as it is typed: sections, files of options, and what is printed."""

import json
from pathlib import Path

import pytest
import tyro
from test_technique_flags import SMALL

from hondo.cli import main
from hondo.cli.command import Command, _read_command
from hondo.cli.config import TrainConfig
from hondo.cli.config_file import read_options
from hondo.cli.outcome import Output
from hondo.cli.train import prepare
from hondo.cli.train_command import TrainCommand, command_of

SECTIONS = "data network regularization gradients initialization normalization run"


def read(*arguments: str) -> TrainCommand:
    command = _read_command(["train", *arguments])
    assert isinstance(command, TrainCommand)
    return command


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        tyro.cli(Command, prog="hondo", args=arguments)
    assert not ended.value.code
    return capsys.readouterr().out


def test_options_of_every_section_become_one_configuration() -> None:
    command = read("x.csv", "--l2", "0.5", "--norm", "rms", "--no-residual", "--keep", "a", "b")
    expected = {"l2": 0.5, "norm": "rms", "residual": False, "keep": ("a", "b")}
    assert command.options == TrainConfig(data=Path("x.csv"), **expected)
    assert command_of(command.options).options == command.options
    assert read().options == TrainConfig()


def test_help_is_grouped_by_the_sections_of_the_lecture(capsys) -> None:
    text = shown(capsys, "train", "--help")
    places = [text.index(f"{name} options") for name in SECTIONS.split()]
    assert places == sorted(places)
    assert (
        places[2] < text.index("--mixup FLOAT") < places[3] < text.index("--clip FLOAT") < places[4]
    )


def test_choices_complete_in_the_shell(capsys) -> None:
    text = shown(capsys, "--tyro-print-completion", "bash")
    for choice in ("--stochastic-depth", "bfloat16", "soft_sign", "lecun_normal", "fashion-mnist"):
        assert choice in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--activation", "swoosh"), "activation must be one of .* soft_sign, .* got 'swoosh'"),
        (("--dataset=mnist",), "dataset must be one of .* fashion-mnist, got 'mnist'"),
        (("--depth", "deep"), "depth must be an integer, got 'deep'"),
        (("--save-every", "often"), "save_every must be a number, got 'often'"),
        (("--task", "ranking"), "task must be one of classification, .* got 'ranking'"),
    ],
)
def test_what_is_no_choice_is_refused_with_the_choices(arguments, words) -> None:
    with pytest.raises(ValueError, match=words):
        read(*arguments)


@pytest.mark.parametrize(
    "arguments",
    ["sweep --l2 much", "compare --depth deep", "report x --part all", "show swa --seed one"],
)
def test_every_command_refuses_so(arguments) -> None:
    name, value = arguments.split()[-2:]
    with pytest.raises(ValueError, match=f"{name[2:].replace('-', '_')} must be .* got '{value}'"):
        _read_command(arguments.split())


FILES = {
    ".yaml": "l2: 1e-3\nlabel-smoothing: 0.1\nkeep: [a, b]\nout: there\nresidual: false\n",
    ".toml": 'l2 = 1e-3\nlabel-smoothing = 0.1\nkeep = ["a", "b"]\nout = "there"\nresidual = false',
    ".json": '{"l2": 0.001, "label_smoothing": 0.1, "keep": ["a", "b"], "out": "there",'
    ' "residual": false, "date": "of a run"}',
}


@pytest.mark.parametrize("suffix", FILES)
def test_options_come_from_a_file_and_the_command_line_wins(tmp_path, suffix) -> None:
    path = tmp_path / f"options{suffix}"
    path.write_text(FILES[suffix])
    rest = {"keep": ("a", "b"), "out": Path("there"), "residual": False}
    assert read("--config", str(path)).options == TrainConfig(l2=1e-3, label_smoothing=0.1, **rest)
    command = read("x.csv", f"--config={path}", "--l2", "0")
    expected = TrainConfig(data=Path("x.csv"), l2=0.0, label_smoothing=0.1, **rest)
    assert command.options == expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("o.yaml", "labelsmoothing: 0.1", "got 'labelsmoothing'. Did you mean label_smoothing?"),
        ("o.yaml", "xyzzy: 1", "an option of hondo train, got 'xyzzy'. hondo train --help"),
        ("o.yaml", "l2: much", "o.yaml: l2 must be float, got 'much'"),
        ("o.toml", 'norm = "group"', "norm must be one of batch, layer, rms, none, got 'group'"),
        ("o.yaml", "- l2", "must be options by name"),
        ("o.json", "{", "--config must be readable, got .*o.json"),
        ("o.ini", "", "--config must be a file of .yaml, .yml, .toml, .json, got"),
    ],
)
def test_files_that_say_nothing_are_refused(tmp_path, name, text, words) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        read_options(tmp_path / name)


def test_several_targets_are_named_one_after_another(tmp_path) -> None:
    (tmp_path / "o.yaml").write_text("target: label\ntask-weights: [1, 1e-1]")
    command = read("--target", "a", "x.csv", "--target=b", "--task", "binary", "--depth", "None")
    expected = TrainConfig(data=Path("x.csv"), target=("a", "b"), task=("binary",))
    assert command.options == expected
    told = ("x.csv", "--config", str(tmp_path / "o.yaml"))
    assert read(*told).options.target == ("label",)
    assert read(*told).options.task_weights == (1.0, 0.1)
    # The file's target is no third.
    assert read(*told, "--target", "a", "--target", "b").options.target == ("a", "b")


def test_a_file_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_options(tmp_path / "none.yaml")


def test_a_resumed_run_takes_no_file_beside_it(tmp_path) -> None:
    (tmp_path / "o.yaml").write_text("")
    command = read("--resume", "run", "--config", str(tmp_path / "o.yaml"))
    with pytest.raises(ValueError, match="--resume must be given alone"):
        command.prepare()


def test_hondo_alone_says_what_there_is(capsys, monkeypatch) -> None:
    monkeypatch.setitem(main.__globals__, "end_at_signals", lambda: None)
    for arguments, words in (([], "hondo train "), (["--version"], "hondo 0.")):
        monkeypatch.setattr("sys.argv", ["hondo", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        assert words in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [False, True])
def test_json_is_the_one_line_on_stdout(tmp_path, capsys, quiet) -> None:
    options = {**SMALL, "dataset": "breast-cancer", "out": tmp_path / "run"}
    assert prepare(TrainConfig(**options), output=Output(json=True, quiet=quiet))() == 0
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert json.loads(line) == {**result, "folder": str(tmp_path / "run")}
    assert ("breast-cancer: binary" in err) == (not quiet)
    if quiet:
        assert err == ""
