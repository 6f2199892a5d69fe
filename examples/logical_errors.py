"""Logical errors of small codes, exactly: against the error rate of their qubits, and where the error is coherent.

Left, depolarizing noise: every Pauli error is enumerated and decoded, so a curve is a polynomial. The [[4,2,2]] code
only detects; its curve is what is wrong among the runs that are kept. Right, every qubit turned by exp(i theta Z), over
the Pauli twirl of the same noise, which is what simulators of stabilizers put in its place: amplitudes of errors with
the same syndrome add, probabilities do not know it. On the phase-flip code no two do, and the twirl is exact.

    python examples/logical_errors.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from shared import Figure, Picture, finish, options

from ketgrad import qec


def curves(p: np.ndarray) -> dict[str, np.ndarray]:
    """Logical error rates after one round with a perfect syndrome."""
    correcting = (qec.five_qubit(), qec.steane(), qec.rotated_surface(3))
    out = {str(code): qec.Correction.of(code).logical_error(p) for code in correcting}
    return {**out, "[[4,2,2]], where accepted": qec.Detection.of(qec.four_two_two()).logical_error(p)}


def ratios(theta: np.ndarray) -> dict[str, np.ndarray]:
    """Coherent logical errors over twirled ones."""
    codes = (qec.steane(), qec.rotated_surface(3), qec.repetition(3, "X"))
    return {str(code): np.divide(*qec.coherent_z(code, theta)) for code in codes}


def main(argv: Sequence[str] | None = None) -> list[Figure]:
    """Both halves of the picture, and the figures."""
    chosen = options(__doc__, argv)
    points = 15 if chosen.quick else 60
    p, theta = np.geomspace(1e-3, 0.3, points), np.pi * np.linspace(0.001, 0.2, points)
    shares = ratios(theta)

    picture = Picture(figsize=(9, 3.6), layout="constrained")
    left, right = picture.subplots(1, 2)
    for name, rates in curves(p).items():
        left.loglog(p, rates, label=name)
    left.loglog(p, p, "--", color="gray", linewidth=0.8, label="no code")
    left.set(title="depolarizing noise", xlabel="error of a qubit", ylabel="logical error")
    left.legend(fontsize=8)
    for name, share in shares.items():
        right.plot(theta / np.pi, share, label=name)
    right.set(title="coherent over twirled", xlabel="theta / pi", ylabel="ratio of logical errors", ylim=(0.8, 3.3))
    right.legend(fontsize=8)

    five, surface = (qec.Correction.of(code) for code in (qec.five_qubit(), qec.rotated_surface(3)))
    kept = float(qec.Detection.of(qec.four_two_two()).acceptance(0.01))
    names = [str(code) for code in (qec.rotated_surface(3), qec.repetition(3, "X"))]
    figures = [
        Figure("[[5,1,3]]: c of c p^2", five.leading[0], 10, "every pair of errors fails", 1e-9, ".6f"),
        Figure(
            "surface code: c of c p^2", surface.leading[0], 40 / 3, "Tomita and Svore's code, enumerated", 1e-9, ".6f"
        ),
        Figure("[[4,2,2]] accepted, p = 0.01", kept, (1 + 3 * (1 - 0.04 / 3) ** 4) / 4, "MacWilliams", 1e-12, ".6f"),
        Figure("surface code: ratio at 0", shares[names[0]][0], 25 / 9, "amplitudes of pairs add", 1e-3, ".3f"),
        Figure("phase-flip code: ratio", float(np.max(shares[names[1]])), 1, "no two errors alike", 1e-9, ".6f"),
    ]
    return finish(figures, picture, chosen.out / "logical_errors.png")


if __name__ == "__main__":
    main()
