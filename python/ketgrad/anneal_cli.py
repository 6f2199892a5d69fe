"""`ketgrad anneal` on a terminal. Owns: its arguments, its exit codes, signals. May not know: how an engine works."""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import fields
from pathlib import Path

from .anneal_job import ENGINES, LAYERS, LEVELS, LEVELS_UP_TO, REPORT, SAMPLES, TIME, Options, anneal, write
from .console import Interrupts, has_bar

DEFAULT_OUT = "ketgrad-anneal"


def add_arguments(p: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    about = "; ".join(f"{name}: {text}" for name, text in ENGINES.items())
    p.add_argument("file", metavar="FILE", help="G-set, Biq Mac, COO, QUBO matrix (CSV, npy), bqpjson, or dimod's .bqm")
    p.add_argument("--format", metavar="FORMAT", help="of the file; default by what it says and how it is called")
    p.add_argument("--engine", choices=tuple(ENGINES), default=Options.engine, help=f"default %(default)s. {about}")
    p.add_argument("--reads", type=int, default=Options.reads, help="samples to take (default %(default)s)")
    p.add_argument("--seed", type=int, default=Options.seed, help="of everything random (default %(default)s)")
    p.add_argument("--time", type=float, help=f"of an anneal, for exact (default {TIME:g}) and qaoa")
    p.add_argument("--schedule", help="linear (default), circular, quadratic or a CSV file s,A,B; for exact and qaoa")
    p.add_argument(
        "--levels",
        type=int,
        help=f"lowest levels of H(s) to follow, for exact (default {LEVELS} up to {LEVELS_UP_TO} spins, else 0)",
    )
    p.add_argument("--sweeps", type=int, help="of a read, for sa and sqa (default: the sampler's)")
    p.add_argument("--layers", type=int, help=f"for qaoa (default {LAYERS})")
    p.add_argument("--ground", type=float, metavar="ENERGY", help="the ground energy, where it is known")
    p.add_argument(
        "--out", default=DEFAULT_OUT, metavar="DIR", help=f"for {REPORT} and {SAMPLES} (default %(default)s)"
    )
    p.add_argument("--quiet", action="store_true", help="print errors and the result only")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from .anneal import files
    from .anneal_report import render, summary

    options = Options(**{f.name: getattr(args, f.name) for f in fields(Options)})
    problem, name, out = files.read(args.file, args.format), Path(args.file).name, Path(args.out)
    if not args.quiet:
        print(f"{name}: {problem.n} variables, {len(problem.pairs)} couplings; {ENGINES[options.engine]}")
    with Interrupts() as interrupts:
        outcome = anneal(problem, name, options, interrupts.asked, not args.quiet and has_bar())
    if outcome is not None:
        write(out, outcome, render(outcome))
        print(f"{summary(outcome)}\nsamples         {out / SAMPLES}\nreport          {out / REPORT}")
        if not outcome.interrupted:
            return 0
    number = interrupts.number or signal.SIGINT
    done = "before any read was taken" if outcome is None else f"after {len(outcome.samples)} of {options.reads} reads"
    if outcome is not None and options.engine == "qaoa":
        done = "while training; the reads are of the best angles so far"
    print(f"ketgrad: stopped by {signal.Signals(number).name} {done}", file=sys.stderr)
    return 128 + number
