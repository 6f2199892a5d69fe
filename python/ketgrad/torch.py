"""`Layer`: a circuit as a `torch.nn.Module`.

Owns: its parameters, dtypes and devices, and which way a call takes. May not know: how a model is differentiated.

A call outside of torch's transformations is one node of autograd (`interfaces.torch_interface`); under `torch.compile`,
`torch.export` and `torch.func` it is an operator (`interfaces.torch_operators`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .circuit import Circuit
from .errors import ArgumentError, ArgumentTypeError, CheckpointError, ParameterError, suggest
from .interfaces import torch_operators
from .interfaces.torch_interface import call
from .layer_function import LayerFunction
from .mitigation.combination import Mitigated
from .model import Model, compile_circuit
from .pauli import PauliSum
from .persistence import to_document

Start: TypeAlias = Callable[[Tensor], Any] | tuple[float, float] | Tensor | np.ndarray[Any, Any] | None
WIDE = (torch.float64, torch.float32)
FULL_TURN = (0.0, 2 * math.pi)


class Layer(torch.nn.Module):  # type: ignore[misc]
    """Expectation values of a circuit, inputs (..., F) -> (..., M), as a layer of a network.

    Its parameters are the circuit's groups of weights, by their names and in their shapes. Values have the dtype of the
    inputs (of the weights, where the circuit has no inputs) and are computed in the model's: float64 is taken as it is,
    without a copy; float16 and bfloat16 are widened first, and under autocast the values then are float32. What lies on
    another device is computed on the CPU and brought back. First and second derivatives are exact.

    Args:
        model: a model with observables; or a circuit, and `observables`.
        init: initial weights: a range (low, high) of a uniform distribution, default [0, 2 pi); a function that fills a
            tensor in place (`torch.nn.init.normal_`); an array of them; or a dictionary of these by name.
        init_method: another name for `init`, as in `qml.qnn.TorchLayer`.
        dtype: of the weights, torch.float32 or torch.float64; default torch's default.
        shots: measurements of each setting; gradients then are parameter-shift estimates. None is exact.
        seed: an int or a `torch.Generator` for initial weights and shots; None draws them as torch does, after
            `torch.manual_seed`.

    Raises:
        ArgumentTypeError: neither a model nor a circuit.
        ArgumentError: no observables, or an option out of its range.
        ParameterError: initial weights of another shape.

    Example:
        >>> layer = kg.torch.Layer(model, init=(-0.1, 0.1))
        >>> network = torch.nn.Sequential(torch.nn.Linear(10, 4), layer, torch.nn.Linear(4, 2))
    """

    def __init__(
        self,
        model: Model | Mitigated | Circuit,
        observables: PauliSum | list[PauliSum] | tuple[PauliSum, ...] | None = None,
        *,
        init: Start | Mapping[str, Start] = None,
        init_method: Start | Mapping[str, Start] = None,
        dtype: torch.dtype | None = None,
        shots: int | None = None,
        seed: int | torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.shots, self._seed = shots, None
        self._name, self._function = _named(_model(model, observables), shots)
        self.in_features, self.out_features = self.model.n_inputs, len(self.model.observables)
        if init is not None and init_method is not None:
            raise ArgumentError("Layer: init and init_method are one thing under two names, got both; give init")
        generator = _generator(seed)
        self._own_parameters(init_method if init is None else init, _weight_dtype(dtype), generator)
        if shots is not None and generator is not None:
            self._seed = int(torch.randint(1 << 62, (), generator=generator))
            # a buffer, for compiled graphs count too; not in the state, which holds weights only
            self.register_buffer("_calls", torch.zeros((), dtype=torch.int64), persistent=False)

    @property
    def model(self) -> Model | Mitigated:
        """The circuit and its observables, ready to run."""
        return self._function.model

    def forward(self, inputs: Tensor | None = None) -> Tensor:
        """Values (..., M) of inputs (..., F); (M,) of a circuit without inputs, which needs none.

        Raises:
            ArgumentTypeError: not a tensor of floating-point numbers.
            ParameterError: another number of inputs, or one that is not finite.
        """
        weights = [getattr(self, name) for name in self._names]
        if inputs is None:
            x = self._no_inputs(weights)
        else:
            x = inputs
            self._check(x)
        dtype = x.dtype
        if dtype not in WIDE:
            if torch.is_autocast_enabled(x.device.type):
                dtype = torch.float32
            x = x.float()
        if not x.is_cpu and x.device.type != "meta":
            x = x.cpu()
        weights = [w if w.is_cpu and w.dtype in WIDE else self._at_home(w, x.device) for w in weights]
        draw = None if self.shots is None else self._draw()
        if not x.is_cpu or torch_operators.wanted():
            values = self._transformed(x, weights, draw)
        else:
            function = self._function if draw is None else self._function.seeded(draw.tolist())
            (values,) = call(function, [x, *weights])
        if inputs is not None and inputs.device != values.device:
            return values.to(device=inputs.device, dtype=dtype)
        return values if values.dtype is dtype else values.to(dtype)

    def extra_repr(self) -> str:
        circuit = self.model.circuit
        weights = [f"{name}={tuple(w.shape)}" for name, w in self.named_parameters()]
        parts = [f"{self.in_features} -> {self.out_features}", f"{circuit.n_wires} wires", f"{len(circuit)} gates"]
        shots = [] if self.shots is None else [f"shots={self.shots}"]
        return ", ".join([*parts, *weights, str(self.model.dtype), self.model.backend, *shots])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_function": self.model}  # the function itself is one for a process

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._name, self._function = _named(state["_function"], self.shots)

    # inside

    def _own_parameters(self, init: Any, dtype: torch.dtype, generator: torch.Generator | None) -> None:
        groups = {name: shape for name, kind, shape, _ in self.model.circuit.groups if kind == "w"}
        self._names = names = list(groups)
        for name in init if isinstance(init, Mapping) else ():
            if name not in groups:
                raise ArgumentError(f"Layer: the weights are {names}, got init for {name!r}.{suggest(name, names)}")
        for name, shape in groups.items():
            start = init.get(name) if isinstance(init, Mapping) else init
            parameter = torch.nn.Parameter(_start(name, shape, start, dtype, generator))
            try:
                self.register_parameter(name, parameter)
            except KeyError as error:
                raise ArgumentError(
                    f"Layer: a group of weights becomes a parameter of the module and cannot be named {name!r} "
                    f"({error}); name it otherwise, as in circuit.weights(shape, 'theta')"
                ) from None

    def _check(self, inputs: Any) -> None:
        if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
            found = f"one of {inputs.dtype}" if isinstance(inputs, Tensor) else type(inputs).__name__
            raise ArgumentTypeError(
                f"Layer: inputs are a tensor of floating-point numbers, got {found}; "
                "use torch.as_tensor(inputs, dtype=torch.float64)"
            )
        if inputs.ndim == 0 or inputs.shape[-1] != self.in_features:
            raise ParameterError(f"Layer: inputs have shape (..., {self.in_features}), got {tuple(inputs.shape)}")

    def _no_inputs(self, weights: list[Tensor]) -> Tensor:
        if self.in_features:
            raise ParameterError(f"Layer: inputs have shape (..., {self.in_features}), and none were given")
        return weights[0].new_empty(0) if weights else torch.empty(0)

    @staticmethod
    def _at_home(weight: Tensor, device: torch.device) -> Tensor:
        return weight.to(device=device, dtype=weight.dtype if weight.dtype in WIDE else torch.float32)

    def _draw(self) -> Tensor:
        """What this call's shots are drawn from."""
        if self._seed is None:
            return torch.randint(1 << 62, (1,))
        self._calls += 1
        return torch.stack([torch.full_like(self._calls, self._seed), self._calls])

    def _transformed(self, x: Tensor, weights: list[Tensor], draw: Tensor | None) -> Tensor:
        if len(weights) == 1:
            w = weights[0]
        else:
            w = torch.cat([w.reshape(-1) for w in weights]) if weights else x.new_empty(0)
        keep = torch.is_grad_enabled() and (x.requires_grad or w.requires_grad)
        values: Tensor = torch_operators.values(x, w, draw, self._name, keep)[0]
        return values


# what a layer is made of


def _model(model: Any, observables: Any) -> Model | Mitigated:
    found: Model | Mitigated
    if isinstance(model, Circuit):
        found = compile_circuit(model, () if observables is None else observables)
    elif not isinstance(model, (Model, Mitigated)):
        hint = "; a compiled QNode has .torch_layer" if hasattr(model, "torch_layer") else ""
        raise ArgumentTypeError(
            f"Layer: expected a Model, or a Circuit and its observables, got {type(model).__name__}{hint}"
        )
    elif observables is not None:
        raise ArgumentError("Layer: a model has its observables, got more; give the circuit and all of them")
    else:
        found = model
    if not found.observables:
        raise ArgumentError("Layer: a layer's outputs are observables, got none; as in Layer(circuit, [kg.Z(0)])")
    return found


def _named(model: Model | Mitigated, shots: int | None) -> tuple[str, LayerFunction]:
    """A name that says what is computed, and the function with this name, one for all layers of this process."""
    try:
        header, arrays = to_document(model)
        said = json.dumps([header, model.backend, shots], sort_keys=True).encode()
        digest = hashlib.sha256(b"".join([said, *(k.encode() + a.tobytes() for k, a in sorted(arrays.items()))]))
        name = digest.hexdigest()[:32]
    except CheckpointError:  # several circuits, or a gate that no file can describe
        name = os.urandom(16).hex()
    function = torch_operators.FUNCTIONS.get(name)
    if not isinstance(function, LayerFunction):
        function = torch_operators.FUNCTIONS[name] = LayerFunction(model, shots)
    return name, function


def _weight_dtype(dtype: Any) -> torch.dtype:
    found = torch.get_default_dtype() if dtype is None else dtype
    if found not in WIDE:
        raise ArgumentError(f"Layer: weights are torch.float32 or torch.float64, got dtype={found!r}")
    return found


def _generator(seed: Any) -> torch.Generator | None:
    if seed is None or isinstance(seed, torch.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ArgumentTypeError(f"Layer: a seed is an int or a torch.Generator, got {type(seed).__name__}")
    return torch.Generator().manual_seed(int(seed))


def _start(
    name: str, shape: tuple[int, ...], start: Any, dtype: torch.dtype, generator: torch.Generator | None
) -> Tensor:
    """Initial weights of one group."""
    out = torch.empty(shape, dtype=dtype)
    if isinstance(start, (Tensor, np.ndarray)):
        if tuple(start.shape) != shape:
            raise ParameterError(
                f"Layer: the weights {name!r} have shape {shape}, got initial ones of {tuple(start.shape)}"
            )
        out.copy_(torch.as_tensor(start).detach())
    elif callable(start):
        with torch.no_grad(), torch.random.fork_rng(devices=(), enabled=generator is not None):
            if generator is not None:  # the function draws from torch's own
                torch.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
            start(out)
    else:
        low, high = _range(FULL_TURN if start is None else start)
        out.uniform_(low, high, generator=generator)
    return out


def _range(start: Any) -> tuple[float, float]:
    good = isinstance(start, tuple) and len(start) == 2 and all(isinstance(s, Real) for s in start)
    if not good or not -math.inf < start[0] <= start[1] < math.inf:
        raise ArgumentError(
            "Layer: init is a range (low, high), a function such as torch.nn.init.normal_, an array, or a dictionary "
            f"of these by name, got {start!r}"
        )
    return float(start[0]), float(start[1])
