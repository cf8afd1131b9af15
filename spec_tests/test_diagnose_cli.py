"""`hondo diagnose`: what it prints and writes, and its exit code, by which it is a gate."""

import json
from pathlib import Path

import pytest

from hondo.cli.diagnose import DiagnoseConfig, prepare

pytestmark = pytest.mark.compile_quickly

NETWORK = """
from flax import linen as nn
import hondo

class Net(nn.Module):
    scale: float

    @nn.compact
    def __call__(self, x):
        init = hondo.gaussian(self.scale / 32)
        for _ in range(8):
            x = nn.relu(nn.Dense(32, kernel_init=init)(x))
        return nn.Dense(10)(x)

healthy, sick = Net(2.0), Net(0.02)

def patient():
    import jax, jax.numpy as jnp
    batch = jax.random.normal(jax.random.key(0), (16, 32)), jnp.zeros(16, int)
    return hondo.supervised(sick, loss="cross_entropy"), batch
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "diagnosed_network.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(config: DiagnoseConfig) -> int:
    return prepare(config)()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("healthy", 0), ("sick", 1)])
def test_a_module_is_diagnosed_on_random_data(folder: Path, name: str, code: int) -> None:
    assert run(DiagnoseConfig(f"diagnosed_network:{name}", input_shape="32,32")) == code
    written = json.loads((folder / "diagnosis.json").read_text())
    assert bool(written["verdicts"]) == bool(code)
    assert written["rows"][0]["layer"] == "Dense_0"
    assert (folder / "diagnosis.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_a_problem_with_its_batch_is_diagnosed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(DiagnoseConfig("diagnosed_network:patient")) == 1
    assert "vanishing response at Dense_" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DiagnoseConfig("nothing:net"), "folder or module:attribute"),
        (DiagnoseConfig("diagnosed_network:none"), "folder or module:attribute"),
        (DiagnoseConfig("diagnosed_network:healthy"), "--input-shape"),
        (DiagnoseConfig("diagnosed_network:sick", input_shape="32,x"), "input_shape must be"),
        (DiagnoseConfig("nowhere"), "run must be a folder"),
        (DiagnoseConfig("nowhere", batch=0), "batch must be"),
    ],
)
def test_bad_input_is_refused(folder: Path, config: DiagnoseConfig, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        prepare(config)
