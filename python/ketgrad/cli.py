"""The command `ketgrad`: train, predict, anneal, info, compare. Owns: argv, exit codes, what a terminal shows.

Exit codes: 0 fine, 1 an error of ketgrad (one line on stderr), 2 wrong usage, 130 and 143 stopped by SIGINT and
SIGTERM after a checkpoint was written.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ._version import __version__
from .errors import ArgumentError, CheckpointError, DataError, KetgradError

DEFAULT_OUT = "ketgrad-run"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser(words).parse_args(words)
    except SystemExit as error:  # argparse has printed what is wrong, or the help
        return int(error.code or 0)
    try:
        code = int(args.run(args))
        sys.stdout.flush()  # here, where a closed pipe can still be answered, not when the interpreter exits
        return code
    except KetgradError as error:
        print(f"ketgrad: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ketgrad: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains once more at exit
        return 1


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ketgrad", description="Hybrid quantum-classical training.")
    parser.add_argument("--version", action="version", version=f"ketgrad {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="train a hybrid classifier and write a report"))
    _add_predict(commands.add_parser("predict", help="classify the rows of a CSV file with a trained model"))
    info = commands.add_parser("info", help="show backend, threads, memory and the largest circuit that fits")
    info.add_argument("--backend", choices=("native", "numba"))
    info.set_defaults(run=_info)
    anneal = commands.add_parser("anneal", help="anneal an optimisation problem from a file and write a report")
    if "anneal" in words:  # as for compare
        from . import anneal_cli

        anneal_cli.add_arguments(anneal)
    compare = commands.add_parser("compare", help="time a training step beside PennyLane's simulators")
    if "compare" in words:  # its arguments are its own; other commands need not load it
        from . import compare as module

        module.add_arguments(compare)
        compare.set_defaults(run=module.run)
    return parser


# train


def _add_train(p: argparse.ArgumentParser) -> None:
    from .noisy_training import MITIGATIONS
    from .train import Settings

    default = Settings()
    p.add_argument("--data", metavar="NAME|FILE", help="digits (default), breast-cancer, wine, iris, or a CSV file")
    p.add_argument("--target", metavar="COLUMN", help="column of the labels in a CSV file (default: the last)")
    for name, kind, text in (
        ("qubits", int, "wires of the circuit"),
        ("layers", int, "layers of the circuit"),
        ("epochs", int, "passes over the data"),
        ("batch", int, "samples of a step"),
        ("lr", float, "first learning rate of the cosine"),
        ("decay", float, "weight decay of the linear layers"),
        ("input-noise", float, "noise on the standardised features while training"),
        ("seed", int, "of everything random"),
    ):
        known = getattr(default, name.replace("-", "_"))
        p.add_argument(f"--{name}", type=kind, metavar=name.upper(), help=f"{text} (default {known})")
    p.add_argument("--backend", choices=("native", "numba"), help="default: the best one here")
    p.add_argument("--dtype", choices=("complex64", "complex128"), help=f"default {default.dtype}")
    p.add_argument(
        "--gradient", choices=("adjoint", "parameter-shift"), help="default: adjoint, or parameter-shift with shots"
    )
    p.add_argument("--shots", type=int, help="measurements of each setting (default: exact)")
    p.add_argument(
        "--noise",
        metavar="SPEC",
        help="train under noise of gates and readout, beside a training without: 0.01, or a list such as "
        "depolarizing=0.001,depolarizing2=0.01,amplitude_damping=0.002,readout=0.02 (default: none)",
    )
    p.add_argument(
        "--mitigation", choices=tuple(MITIGATIONS), help="train by mitigated values, beside a training by raw ones"
    )
    p.add_argument("--trajectories", type=int, metavar="N", help="paths of a noisy value (default: exact where quick)")
    p.add_argument("--seeds", type=int, metavar="N", help="train with N seeds and report the median (default 1)")
    p.add_argument(
        "--out", default=DEFAULT_OUT, metavar="DIR", help="for model, report, checkpoints (default %(default)s)"
    )
    p.add_argument("--checkpoint-every", type=int, default=1, metavar="EPOCHS", help="default %(default)s")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoints in DIR, with their settings")
    p.add_argument("--no-classical", action="store_true", help="do not train the classical models beside it")
    p.add_argument("--quiet", action="store_true", help="print errors and the result only")
    p.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from . import data, job
    from .console import Console, Interrupts
    from .train import Settings, Stopped, saved

    out = Path(args.out)
    first = job.checkpoint_path(out, 0, 0)
    base, about = saved(first) if args.resume and first.exists() else (Settings(), {})
    given = {f.name: getattr(args, f.name, None) for f in fields(Settings)}
    settings = replace(base, **{name: value for name, value in given.items() if value is not None})
    source = args.data or about.get("data") or "digits"
    target = args.target if args.target or args.data else about.get("target")
    seeds = args.seeds if args.seeds is not None else about.get("seeds", 1)
    if seeds < 1:
        raise ArgumentError(f"--seeds is a number from 1, got {seeds}")
    dataset = data.load(source, target)
    console = Console(settings, seeds, quiet=args.quiet)
    console.start(dataset, out, args.resume, first)
    with Interrupts() as interrupts:
        try:
            outcome = job.run(
                dataset,
                settings,
                out,
                seeds=seeds,
                checkpoint_every=args.checkpoint_every,
                resume=args.resume,
                classical=not args.no_classical,
                progress=console.progress,
                stop=interrupts.asked,
                finished=console.finished,
                about={"data": _portable(source), "target": target, "seeds": seeds},
            )
        except Stopped as error:
            console.close()
            number = interrupts.number or signal.SIGINT
            print(
                f"ketgrad: stopped by {signal.Signals(number).name} at {error}; the checkpoint is in {out}, "
                "go on with --resume",
                file=sys.stderr,
            )
            return 128 + number
        finally:
            console.close()
    console.result(outcome, out)
    return 0


def _portable(source: str) -> str:
    """A file's absolute path, so that --resume works from another folder; a bundled name as it is."""
    from .data import BUNDLED

    return source if source in BUNDLED else str(Path(source).resolve())


# predict


def _add_predict(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", metavar="MODEL", help="the folder of a training, or its model.npz")
    p.add_argument("file", metavar="FILE", help="a CSV file with the columns the model was trained on")
    p.add_argument("--out", metavar="FILE", help="write here instead of the terminal")
    p.add_argument("--backend", choices=("native", "numba"))
    p.set_defaults(run=_predict)


def _predict(args: argparse.Namespace) -> int:
    from . import data, hybrid, job
    from .checkpoint import replace_file

    path = Path(args.model)
    network = hybrid.Classifier.load(path / job.MODEL if path.is_dir() else path, backend=args.backend)
    names = network.about.get("feature_names") or []
    if len(names) != network.n_features:
        raise CheckpointError(f"{path} does not know the names of its features; train it with `ketgrad train`")
    labels: list[Any] | None
    if args.file in data.BUNDLED:
        dataset = data.load(args.file)
        if list(dataset.feature_names) != names:
            trained = network.about.get("data")
            raise DataError(f"the model was trained on {trained!r}, which has other features than {args.file!r}")
        features, labels = dataset.features, list(dataset.labels)
    else:
        features, read = data.read_features(args.file, names, network.about.get("target"))
        labels = None if read is None else list(read)
    probabilities = network.probabilities(features)
    text = _table(network.classes, probabilities)
    if args.out:
        replace_file(args.out, lambda file: _ignore(file.write(text.encode())))
    else:
        sys.stdout.write(text)
        sys.stdout.flush()
    if labels is not None:
        right = sum(network.classes[k] == t for k, t in zip(probabilities.argmax(axis=1), labels, strict=True))
        print(f"{right} of {len(labels)} right, accuracy {right / len(labels):.4f}", file=sys.stderr)
    return 0


def _ignore(_: int) -> None:
    """A buffered write takes everything or raises."""


def _table(classes: list[Any], probabilities: Any) -> str:
    """The predictions as CSV."""
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["prediction", *(f"p({c})" for c in classes)])
    for row in probabilities:
        writer.writerow([classes[int(row.argmax())], *(f"{p:.6f}" for p in row)])
    return buffer.getvalue()


# info


def _info(args: argparse.Namespace) -> int:
    from .backends import backend_info
    from .memory import available_bytes, format_bytes, largest_n_bits

    info = backend_info(args.backend)
    rows = [("version", __version__), ("backend", info.pop("backend"))]
    rows.append(("instruction set", info.pop("instruction_set", "-")))
    rows += [("threads", info.pop("threads")), ("memory available", format_bytes(available_bytes()))]
    rows.append(("largest circuit", f"{largest_n_bits(16)} qubits in complex128, {largest_n_bits(8)} in complex64"))
    rows += [(str(k).replace("_", " "), v) for k, v in info.items()]
    rows.append(("python", sys.version.split()[0]))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 0
