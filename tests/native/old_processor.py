"""The installed package on an old processor, emulated: it runs, or the native core is refused in words.

old_processor.py runs       import, value and gradient on the baseline kernels
old_processor.py refused    importing the core raises ImportError; without numpy, which may need a newer processor
"""

from __future__ import annotations

import glob
import math
import os
import sys
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location


def runs() -> None:
    """RX on every wire and a ring of CNOTs: Z of a wire is a product of cosines."""
    import ketgrad as kg

    info = kg.backend_info("native")
    assert info["instruction_set"] == "baseline", info
    for dtype, tolerance in (("complex128", 1e-12), ("complex64", 1e-5)):
        for n in (3, 13):  # gate by gate, and in passes over tiles
            circuit = kg.Circuit(n)
            weights = circuit.weights(n)
            for q in range(n):
                circuit.rx(weights[q], q)
            for q in range(n - 1):
                circuit.cx(q, q + 1)
            angles = [0.1 * (q + 1) for q in range(n)]
            model = kg.compile(circuit, [kg.Z(n - 1)], dtype=dtype, backend="native")
            values, pullback = model.forward(angles)
            expected = math.prod(map(math.cos, angles))
            assert abs(values[0] - expected) < tolerance, (dtype, n, values, expected)
            for got, angle in zip(pullback([1.0]).weights, angles, strict=True):
                assert abs(got + math.tan(angle) * expected) < tolerance, (dtype, n, got)
    print("ketgrad", kg.__version__, "runs with the baseline kernels: values and gradients are right")


def refused() -> None:
    """The extension by itself, as `import ketgrad._core` would load it."""
    (path,) = glob.glob(os.path.join(sysconfig.get_path("platlib"), "ketgrad", "_core.*.so"))
    spec = spec_from_file_location("_core", path)
    assert spec is not None and spec.loader is not None
    try:
        spec.loader.exec_module(module_from_spec(spec))
    except ImportError as error:
        assert "x86-64-v2" in str(error) and "KETGRAD_BACKEND=numba" in str(error), error
        print("ImportError:", error)
    else:
        raise AssertionError("the core was imported on a processor that it is not compiled for")


if __name__ == "__main__":
    {"runs": runs, "refused": refused}[sys.argv[1]]()
