"""kg.torch.Layer: values and derivatives against the model's own, its parameters, copies, shots, mistakes."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_cases import DOUBLE, OBSERVABLES, F, M, assert_close, circuit, flat, gradients, points  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.errors import ArgumentError, ArgumentTypeError, NotDifferentiableError, ParameterError  # noqa: E402
from ketgrad.gate_spec import GateSpec  # noqa: E402
from ketgrad.gates import BY_NAME  # noqa: E402


@pytest.fixture(scope="module")
def model(backend: str) -> kg.Model:
    return kg.compile(circuit(), OBSERVABLES, backend=backend)


@pytest.fixture(scope="module")
def layer(model: kg.Model) -> Any:
    return kg.torch.Layer(model, dtype=DOUBLE, seed=3)


# values and first derivatives


@pytest.mark.parametrize("lead", [(), (1,), (5,), (2, 3), (0,), (2, 0)], ids=str)
def test_any_axes_in_front(lead: tuple[int, ...], model: kg.Model, layer: Any) -> None:
    x = points(*lead, grad=True)
    values = layer(inputs=x)
    assert values.shape == (*lead, M) and values.dtype == DOUBLE
    cotangents = torch.linspace(-1, 2, values.numel(), dtype=DOUBLE).reshape(values.shape)
    found = torch.autograd.grad(values, [x, layer.w, layer.scale], cotangents)
    assert [g.shape for g in found] == [x.shape, (2, 3), ()]
    if 0 in lead:
        assert not any(g.any() for g in found)
        return
    wanted, pullback = model.forward(flat(layer), x.detach().numpy().reshape(-1, F))
    np.testing.assert_allclose(values.detach().numpy().reshape(-1, M), wanted, rtol=0, atol=1e-14)
    g = pullback(cotangents.numpy().reshape(-1, M))
    np.testing.assert_allclose(found[0].numpy().reshape(-1, F), g.inputs, rtol=0, atol=1e-14)
    np.testing.assert_allclose([*found[1].reshape(-1), found[2]], g.weights, rtol=0, atol=1e-14)


def test_inputs_of_any_layout(layer: Any) -> None:
    x = points(4, 3)
    assert torch.equal(layer(x.transpose(0, 1)), layer(x).transpose(0, 1))
    one = x[0, 0].expand(7, F)
    assert torch.equal(layer(one)[6], layer(x[:1, 0])[0])


def test_a_circuit_without_inputs(backend: str) -> None:
    plain = kg.Circuit(2)
    a, b = plain.weights(2)
    plain.ry(a, 0).cnot(0, 1).ry(b, 1)
    alone = kg.torch.Layer(kg.compile(plain, kg.Z(1), backend=backend), dtype=DOUBLE, seed=1)
    values = alone()
    assert values.shape == (1,) and values.dtype == DOUBLE
    a, b = alone.w.detach()
    assert_close([values], [(torch.cos(a) * torch.cos(b)).reshape(1)])
    values.backward()
    assert_close([alone.w.grad], [torch.stack([-torch.sin(a) * torch.cos(b), -torch.cos(a) * torch.sin(b)])])


def test_a_circuit_without_weights() -> None:
    fixed = kg.Circuit(1)
    fixed.ry(fixed.inputs(1)[0], 0)
    x = torch.tensor([[0.3]], dtype=DOUBLE, requires_grad=True)
    features = kg.torch.Layer(fixed, [kg.Z(0)])
    assert not list(features.parameters())
    features(x).backward()
    assert_close([x.grad], [-torch.sin(x)])


def test_dtypes(model: kg.Model, layer: Any) -> None:
    x = points(4, grad=True)
    single = kg.torch.Layer(model, init={n: p.detach() for n, p in layer.named_parameters()})
    assert single.w.dtype == torch.float32
    found = single(x.detach().float().requires_grad_())
    assert found.dtype == torch.float32
    assert_close([found], [layer(x)], 1e-6)
    y = x.detach().float().requires_grad_()
    for g, p in zip(gradients(single, single, y), [y, *single.parameters()], strict=True):
        assert g.dtype == p.dtype
    assert_close(gradients(single, single, y), gradients(layer, layer, x), 1e-5)
    mixed = layer(y)  # float64 weights
    assert mixed.dtype == torch.float32
    assert_close([mixed], [layer(y.double()).float()], 0)
    for dtype in (torch.float16, torch.bfloat16):
        assert single(points(4, dtype=dtype)).dtype == dtype
        assert copy.deepcopy(single).to(dtype)(points(4, dtype=dtype)).dtype == dtype


def test_autocast_computes_in_more_than_half(model: kg.Model) -> None:
    torch.manual_seed(0)
    first, last = torch.nn.Linear(5, F), torch.nn.Linear(M, 2)
    middle = kg.torch.Layer(model)
    features = torch.rand(6, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        angles = first(features)
        values = middle(angles)
        out = last(values)
    assert (angles.dtype, values.dtype, out.dtype) == (torch.bfloat16, torch.float32, torch.bfloat16)
    assert_close([values], [middle(angles.double())], 1e-6)
    out.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.any() for p in (*first.parameters(), *middle.parameters()))


def test_other_devices_are_computed_here(layer: Any) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        values = layer(torch.empty(4, F, device="cuda"))
    assert values.device.type == "cuda" and values.shape == (4, M) and values.dtype == torch.float32
    assert layer(torch.empty(4, F, device="meta")).shape == (4, M)


def test_nothing_is_kept_without_a_gradient(model: kg.Model, layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    forward = kg.Model.forward

    def spied(self: Any, *args: Any, **kwargs: Any) -> Any:
        kept.append(kwargs["_keep"])
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(kg.Model, "forward", spied)
    frozen = copy.deepcopy(layer).requires_grad_(False)
    with torch.no_grad():
        assert not layer(points(3, grad=True)).requires_grad
    with torch.inference_mode():
        layer(points(3))
    assert not frozen(points(3)).requires_grad
    assert kept == [False] * 3
    x = points(3, grad=True)
    only_x = torch.autograd.grad(frozen(x).sum(), x)
    assert kept[3:] == [True]
    assert_close(only_x, torch.autograd.grad(layer(x).sum(), x))


# second derivatives


def through_operators(layer: Any) -> Any:
    return lambda x, w, s: torch.ops.ketgrad.values(
        x, torch.cat([w.reshape(-1), s.reshape(-1)]), None, layer._name, True
    )[0]


def through_the_layer(layer: Any) -> Any:
    return lambda x, w, s: torch.func.functional_call(layer, {"w": w, "scale": s}, (x,))


@pytest.mark.parametrize("way", [through_the_layer, through_operators])
def test_gradcheck_and_gradgradcheck(way: Any, layer: Any) -> None:
    arguments = (points(2, grad=True), *(p.detach().clone().requires_grad_() for p in layer.parameters()))
    assert torch.autograd.gradcheck(way(layer), arguments)
    assert torch.autograd.gradgradcheck(way(layer), arguments)
    assert torch.autograd.gradgradcheck(way(layer), arguments, gen_non_contig_grad_outputs=True)
    assert torch.autograd.gradcheck(way(layer), (points(grad=True), *arguments[1:]))


def test_a_loss_of_values_and_their_gradient(layer: Any) -> None:
    """As where a differential equation is solved: against central differences of the whole loss."""
    x = points(3, grad=True)

    def loss(x: Any) -> Any:
        values = layer(x)
        (slope,) = torch.autograd.grad(values.sin().sum(), x, create_graph=True)
        return ((slope - 0.3 * values[:, :F]) ** 2).sum() + values.pow(3).sum()

    found = torch.autograd.grad(loss(x), [x, *layer.parameters()])
    step = 1e-5
    for tensor, gradient in zip([x, *layer.parameters()], found, strict=True):
        for k in range(tensor.numel()):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    tensor.reshape(-1)[k] += sign * step
                ends.append(loss(x).item())
                with torch.no_grad():
                    tensor.reshape(-1)[k] -= sign * step
            assert gradient.reshape(-1)[k].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def test_third_derivatives_are_refused(layer: Any) -> None:
    x = points(2, grad=True)
    (first,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    with pytest.raises(NotDifferentiableError, match="no third derivatives"):
        torch.autograd.grad(first.sum(), x, create_graph=True)
    rows = torch.func.jacrev(torch.func.jacrev(torch.func.jacrev(lambda x: layer(x).sum())))
    with pytest.raises(NotDifferentiableError, match="no third derivatives"):
        rows(x.detach())


# parameters, copies, files


def test_initial_weights(model: kg.Model) -> None:
    def weights(**options: Any) -> Any:
        return kg.torch.Layer(model, **options).w.detach()

    torch.manual_seed(5)
    default = weights(dtype=DOUBLE)
    torch.manual_seed(5)
    assert torch.equal(weights(dtype=DOUBLE), default)
    assert ((0 <= default) & (default < 2 * torch.pi)).all() and default.max() - default.min() > 1
    narrow = weights(init=(-0.1, 0.1), seed=1)
    assert (narrow.abs() <= 0.1).all() and torch.equal(narrow, weights(init_method=(-0.1, 0.1), seed=1))
    assert not torch.equal(narrow, weights(init=(-0.1, 0.1), seed=2))
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(narrow, weights(init=(-0.1, 0.1), seed=generator))
    state = torch.get_rng_state()
    normal = weights(init=torch.nn.init.normal_, seed=1)
    assert torch.equal(normal, weights(init=torch.nn.init.normal_, seed=1)) and torch.equal(
        state, torch.get_rng_state()
    )
    given = np.arange(6.0).reshape(2, 3)
    both = kg.torch.Layer(model, init={"w": given, "scale": torch.nn.init.ones_}, dtype=DOUBLE)
    assert_close([both.w, both.scale], [torch.from_numpy(given), torch.tensor(1.0)])
    given[:] = 7
    assert both.w.max() == 5


def test_what_it_says_and_holds(layer: Any) -> None:
    assert repr(layer) == (
        f"Layer(2 -> 3, 3 wires, 14 gates, w=(2, 3), scale=(), complex128, {layer.model.backend})"
    )  # fmt: skip
    assert list(layer.state_dict()) == ["w", "scale"] and (layer.in_features, layer.out_features) == (F, M)
    other = kg.torch.Layer(layer.model, dtype=DOUBLE, shots=5, seed=0)
    assert list(other.state_dict()) == ["w", "scale"] and "shots=5" in repr(other)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.w, layer.w)


def test_copies(layer: Any) -> None:
    x = points(3)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert torch.equal(twin(x), layer(x)) and twin.w is not layer.w
        assert twin._function is layer._function  # one for a process, so one plan
        with torch.no_grad():
            twin.w += 1
        assert not torch.allclose(twin(x), layer(x))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    assert torch.equal(torch.load(file)["w"], layer.w)


def test_a_gate_that_no_file_can_describe(backend: str) -> None:
    other = GateSpec("mine", "A gate of my own.", 1, body=BY_NAME["x"].body)
    foreign = kg.Circuit(1).append(other, (), (0,))
    foreign.rx(foreign.weights(1)[0], 0)
    one = kg.torch.Layer(kg.compile(foreign, kg.Z(0), backend=backend), init=np.zeros(1))
    assert one().item() == pytest.approx(-1)
    assert torch.compile(one, backend="aot_eager", fullgraph=True)().item() == pytest.approx(-1)


def test_parametrized_weights(model: kg.Model) -> None:
    own = kg.torch.Layer(model, dtype=DOUBLE, init=(-1, 1), seed=1)
    before = own.w.detach().clone()

    class Doubled(torch.nn.Module):
        def forward(self, w: Any) -> Any:
            return 2 * w

    torch.nn.utils.parametrize.register_parametrization(own, "w", Doubled())
    plain = kg.torch.Layer(model, dtype=DOUBLE, init={"w": 2 * before, "scale": own.scale})
    assert torch.equal(own(points(3)), plain(points(3)))


# shots


def test_shots_are_estimates_that_a_seed_repeats(model: kg.Model, layer: Any) -> None:
    start = {n: p.detach() for n, p in layer.named_parameters()}

    def noisy(seed: int | None = 7) -> Any:
        return kg.torch.Layer(model, shots=400, seed=seed, init=start, dtype=DOUBLE)

    x, first, second = points(3, grad=True), noisy(), noisy()
    values, again = first(x), second(x)
    assert torch.equal(values, again) and not torch.equal(first(x), values)
    mean, variance = model.estimate(flat(layer), x.detach().numpy(), shots=400, seed=0)
    assert ((values - layer(x)).abs().detach().numpy() <= 6 * np.sqrt(variance) + 1e-12).all()
    jac = model.jacobian(flat(layer), x.detach().numpy(), shots=400, seed=0)
    slope = torch.autograd.grad(first(x)[1, 2], first.w)[0].reshape(-1).numpy()
    exact = torch.autograd.grad(layer(x)[1, 2], layer.w)[0].reshape(-1).numpy()
    assert (np.abs(slope - exact) <= 6 * np.sqrt(jac.weights_variance[1, 2, :6]) + 1e-12).all() and (
        slope != exact
    ).any()
    torch.manual_seed(2)
    drawn = noisy(None)
    before = drawn(x)
    torch.manual_seed(2)
    assert torch.equal(noisy(None)(x), before) and not torch.equal(drawn(x), before)
    with pytest.raises(NotDifferentiableError, match="take no shots, got shots=400"):
        torch.autograd.grad(first(x).sum(), x, create_graph=True)[0].sum().backward()


# mistakes


@pytest.mark.parametrize(
    ("inputs", "error", "text"),
    [
        (None, ParameterError, r"inputs have shape \(\.\.\., 2\), and none were given"),
        ([[0.1, 0.2]], ArgumentTypeError, "got list; use torch.as_tensor"),
        (torch.zeros(3, 2, dtype=torch.int64), ArgumentTypeError, "got one of torch.int64"),
        (torch.zeros(3, 2, dtype=torch.complex64), ArgumentTypeError, "got one of torch.complex64"),
        (torch.zeros(3, 4), ParameterError, r"inputs have shape \(\.\.\., 2\), got \(3, 4\)"),
        (torch.tensor(1.0), ParameterError, r"got \(\)"),
        (torch.tensor([[0.1, torch.nan]]), ParameterError, r"must be finite, got nan at position \(0, 1\)"),
    ],
)
def test_inputs_that_are_refused(inputs: Any, error: Any, text: str, layer: Any) -> None:
    with pytest.raises(error, match=text):
        layer(inputs)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        ((3,), {}, ArgumentTypeError, "expected a Model, or a Circuit and its observables, got int"),
        ((circuit(),), {}, ArgumentError, "got none; as in Layer"),
        ((kg.compile(circuit(), OBSERVABLES), kg.Z(0)), {}, ArgumentError, "give the circuit and all of them"),
        ((circuit(), kg.Z(0)), {"init": (0, 1), "init_method": (0, 1)}, ArgumentError, "got both"),
        ((circuit(), kg.Z(0)), {"init": (1, 0)}, ArgumentError, r"a range \(low, high\)"),
        ((circuit(), kg.Z(0)), {"init": "zeros"}, ArgumentError, "got 'zeros'"),
        ((circuit(), kg.Z(0)), {"init": {"scael": (0, 1)}}, ArgumentError, "Did you mean 'scale'"),
        ((circuit(), kg.Z(0)), {"init": {"w": torch.zeros(3)}}, ParameterError, r"shape \(2, 3\), got .* \(3,\)"),
        ((circuit(), kg.Z(0)), {"dtype": torch.float16}, ArgumentError, "got dtype=torch.float16"),
        ((circuit(), kg.Z(0)), {"shots": 0}, ArgumentError, "shots must be from 1"),
        ((circuit(), kg.Z(0)), {"seed": "7"}, ArgumentTypeError, "got str"),
    ],
)
def test_layers_that_are_refused(arguments: Any, options: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        kg.torch.Layer(*arguments, **options)


@pytest.mark.parametrize("name", ["forward", "a.b"])
def test_names_that_a_module_cannot_have(name: str) -> None:
    named = kg.Circuit(1)
    named.ry(named.weights(1, name)[0], 0)
    with pytest.raises(ArgumentError, match=f"cannot be named '{name}'.*name it otherwise"):
        kg.torch.Layer(named, kg.Z(0))
