"""``python -m tests.benchmarks.nlu [--rasa PYTHON [--epochs N]]``: every exam of understanding as a table, beside Rasa if given.

``PYTHON`` belongs to an environment with Rasa 3.6.21 and jieba; training it on the same files takes long.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from nlu import Interpreter, Report, evaluate
from tests.benchmarks.nlu.peer import Peer

ROOT = Path(__file__).parents[3]
EXAMS = [*sorted((ROOT / "tests/nlu").glob("heldout_*.tsv")), ROOT.parent / "shared/eval/real_intents.open.tsv"]
NOW = datetime(2026, 11, 18, 4, tzinfo=UTC)  # when the sentences of the exams are said
HEAD = "| exam | sentences | | right | macro-F1 | ECE | OOS AUROC | entities exact | p50 ms | p95 ms | encoder asked |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.nlu")
    parser.add_argument("--rasa", type=Path, help="the Python of an environment with Rasa")
    parser.add_argument("--epochs", type=int, default=100, help="how long Rasa is trained (100, as it does by itself)")
    options = parser.parse_args()
    begun = time.perf_counter()
    interpreter = Interpreter.load()
    out = [f"load: {time.perf_counter() - begun:.2f} s", "", HEAD, "|" + "---|" * 11]
    exams = [exam for exam in EXAMS if exam.exists()]
    out += [_row(exam, "ours", evaluate(exam, interpreter, NOW)) for exam in exams]
    if options.rasa:
        peer = Peer.trained(options.rasa, options.epochs, exams)
        out += [_row(exam, "Rasa", evaluate(exam, peer, NOW)) for exam in exams]
        out[0] += f"; Rasa: {peer.load_seconds:.2f} s after {peer.training_seconds:.0f} s of training"
    sys.stdout.write("\n".join(out) + "\n")


def _row(exam: Path, who: str, report: Report) -> str:
    times = [f"{each:.2f}" for each in (report.p50_ms, report.p95_ms)]
    shares = [report.accuracy, report.macro_f1, report.calibration_error, report.outside_auroc, report.entities_exact]
    cells: Sequence[str] = ["" if share is None else f"{share:.3f}" for share in shares]
    encoded = f"{report.encoded:.0%}" if who == "ours" else ""
    return f"| {exam.stem} | {report.sentences} | {who} | {' | '.join([*cells, *times, encoded])} |"


if __name__ == "__main__":
    main()
