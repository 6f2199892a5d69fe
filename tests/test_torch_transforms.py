"""kg.torch.Layer where torch transforms calls (torch.func, torch.compile, torch.export), and in several processes."""

from __future__ import annotations

import copy
import gc
import io
from typing import Any

import numpy as np
import pytest
from subprocesses import run

torch = pytest.importorskip("torch")

from torch_cases import DOUBLE, OBSERVABLES, F, M, assert_close, circuit, flat, gradients, points  # noqa: E402

import ketgrad as kg  # noqa: E402
from ketgrad.errors import ArgumentError  # noqa: E402


@pytest.fixture(scope="module")
def model(backend: str) -> kg.Model:
    return kg.compile(circuit(), OBSERVABLES, backend=backend)


@pytest.fixture(scope="module")
def layer(model: kg.Model) -> Any:
    return kg.torch.Layer(model, dtype=DOUBLE, seed=3)


@pytest.fixture(scope="module")
def own() -> Any:
    """For what does not depend on the backend and takes its time."""
    return kg.torch.Layer(circuit(), OBSERVABLES, dtype=DOUBLE, seed=3)


# torch.func


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # of torch, in forward mode
def test_jacobians_and_hessians(model: kg.Model, layer: Any) -> None:
    from torch.func import functional_call, jacfwd, jacrev

    x, parameters = points(4), {n: p.detach() for n, p in layer.named_parameters()}

    def values(p: Any, x: Any) -> Any:
        return functional_call(layer, p, (x,))

    jac = model.jacobian(flat(layer), x.numpy())
    wanted = torch.from_numpy(jac.weights)
    for found in (jacrev(values)(parameters, x), jacfwd(values)(parameters, x)):
        assert_close([found["w"].reshape(4, M, 6), found["scale"]], [wanted[..., :6], wanted[..., 6]])

    def loss(w: Any) -> Any:
        return values({**parameters, "w": w}, x).sin().sum()

    plain = torch.autograd.functional.hessian(loss, parameters["w"])
    assert_close([torch.func.hessian(loss)(parameters["w"]), jacrev(jacrev(loss))(parameters["w"])], [plain, plain])


def test_vmap(model: kg.Model, layer: Any) -> None:
    from torch.func import functional_call, grad, jacrev, vmap

    x, parameters = points(4), {n: p.detach() for n, p in layer.named_parameters()}
    assert_close([vmap(layer)(x), vmap(layer, in_dims=1, out_dims=1)(x[:, None])], [layer(x), layer(x)[:, None]])

    def loss(p: Any, x: Any) -> Any:
        return functional_call(layer, p, (x,)).square().sum()

    each = vmap(grad(loss), (None, 0))(parameters, x)
    alone = [grad(loss)(parameters, row) for row in x]
    assert_close([each[n] for n in parameters], [torch.stack([g[n] for g in alone]) for n in parameters])
    several = {n: torch.stack([p, p + 0.1]) for n, p in parameters.items()}
    losses = vmap(loss, (0, None))(several, x)
    assert_close([losses], [torch.stack([loss({n: p[k] for n, p in several.items()}, x) for k in range(2)])])
    slopes = vmap(jacrev(layer))(x)
    assert_close([slopes], [torch.from_numpy(model.jacobian(flat(layer), x.numpy()).inputs)])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # of torch, in forward mode
def test_forward_mode(model: kg.Model, layer: Any) -> None:
    from torch.autograd import forward_ad

    x, along = points(3), points(3) - 0.5
    wanted = torch.from_numpy(model.tangents(flat(layer), x.numpy(), np.zeros(7), along.numpy()))
    for owner in (layer, copy.deepcopy(layer).requires_grad_(False)):
        with forward_ad.dual_level():
            assert_close([forward_ad.unpack_dual(owner(forward_ad.make_dual(x, along))).tangent], [wanted])


# torch.compile and torch.export


def test_operators_obey_the_rules(own: Any) -> None:
    names = torch.ops.ketgrad
    x, c = points(3, grad=True), torch.rand(3, M, dtype=DOUBLE, requires_grad=True)
    w, receipt = torch.tensor(flat(own), requires_grad=True), torch.empty(0, dtype=torch.uint8)
    torch.library.opcheck(names.values, (x, w, None, own._name, True))
    torch.library.opcheck(names.pullback, (c, x, w, None, receipt, own._name))
    plain = [t.detach() for t in (x, w, c, x, w)]  # it has no derivatives
    torch.library.opcheck(names.second, (*plain, own._name))


def test_compiled_without_a_break(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(own, fullgraph=True, backend="aot_eager")
    for x in (points(5, grad=True), points(6, grad=True), points(2, 3, grad=True)):
        assert torch.equal(compiled(x), own(x))
        assert_close(gradients(compiled, own, x), gradients(own, own, x), 1e-14)
    sweeps = []
    forward = kg.Model.forward
    monkeypatch.setattr(kg.Model, "forward", lambda *a, **k: sweeps.append(1) or forward(*a, **k))
    gradients(compiled, own, points(5, grad=True))
    assert len(sweeps) == 1  # the way back starts from what the way forward left


def test_a_compiled_network_trains_as_the_plain_one() -> None:
    torch._dynamo.reset()
    torch.manual_seed(4)
    plain = torch.nn.Sequential(torch.nn.Linear(4, F), kg.torch.Layer(circuit(), OBSERVABLES), torch.nn.Linear(M, 2))
    twin = copy.deepcopy(plain)
    features, labels = torch.rand(8, 4), torch.arange(8) % 2
    for network, run_it in ((plain, plain), (twin, torch.compile(twin, fullgraph=True, backend="aot_eager"))):
        optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
        losses = []
        for _ in range(10):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(run_it(features), labels)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
    assert_close(twin.parameters(), plain.parameters(), 1e-5)


def test_vmap_within_a_compiled_function(own: Any) -> None:
    torch._dynamo.reset()
    function = torch.compile(lambda x: torch.func.vmap(own)(x), fullgraph=True, backend="aot_eager")
    assert_close([function(points(3, 2))], [own(points(3, 2))])


def test_exported_with_a_batch_of_any_length() -> None:
    def make() -> Any:  # no other test has this circuit
        return kg.torch.Layer(circuit().ry(0.123, 0), OBSERVABLES, dtype=DOUBLE, init=(0.25, 0.25))

    layer, file = make(), io.BytesIO()
    batch = torch.export.Dim("batch", min=1)
    torch.export.save(torch.export.export(layer, (points(3),), dynamic_shapes=({0: batch},)), file)
    file.seek(0)
    exported = torch.export.load(file).module()
    for count in (3, 8):
        assert_close([exported(points(count))], [layer(points(count))])
    del layer
    gc.collect()
    with pytest.raises(ArgumentError, match="which no layer of this process has; make the kg.torch.Layer"):
        exported(points(3))
    layer = make()
    assert_close([exported(points(3))], [layer(points(3))])


def test_shots_in_a_graph(own: Any) -> None:
    torch._dynamo.reset()
    start = {n: p.detach() for n, p in own.named_parameters()}
    for seed in (7, None):
        plain, twin = (kg.torch.Layer(own.model, shots=100, seed=seed, init=start, dtype=DOUBLE) for _ in range(2))
        compiled, x = torch.compile(twin, fullgraph=True, backend="aot_eager"), points(3, grad=True)
        for _ in range(2):  # the same draws as outside of a graph, and others at the next call
            torch.manual_seed(1)
            found = gradients(compiled, twin, x)
            torch.manual_seed(1)
            assert_close(found, gradients(plain, plain, x), 1e-14)
        assert not torch.equal(compiled(x), compiled(x))
    each = torch.func.vmap(lambda x: twin(x), randomness="different")(points(3)[:1].expand(4, F))
    assert not torch.equal(each[0], each[1])
    assert torch.func.vmap(lambda x: twin(x), randomness="same")(points(3)).shape == (3, M)


# several processes


LOADERS = """
import torch, ketgrad as kg
from torch_cases import OBSERVABLES, Readings, circuit, points

layer, x = kg.torch.Layer(circuit(), OBSERVABLES, dtype=torch.float64), points(4)
for how in ("fork", "spawn"):
    loader = torch.utils.data.DataLoader(Readings(layer, x), batch_size=2, num_workers=1, multiprocessing_context=how)
    print((torch.cat(list(loader)) - layer(x)).abs().max().item())
"""


def test_workers_of_a_data_loader() -> None:
    fork, spawn = map(float, run(LOADERS).stdout.split())
    assert max(fork, spawn) <= 1e-14  # a sample alone is rounded otherwise than in a batch


PARALLEL = """
import os
import torch, ketgrad as kg
from torch_cases import OBSERVABLES, circuit, points

def train(rank, store):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # so that the processes start apart
    layer = kg.torch.Layer(circuit(), OBSERVABLES, dtype=torch.float64)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2).double(), layer)
    parallel = torch.nn.parallel.DistributedDataParallel(network)
    parallel(points(6)[rank::2]).sin().square().mean().backward()
    if rank == 0:  # its weights are those of all
        found = [p.grad.clone() for p in network.parameters()]
        network.zero_grad()
        network(points(6)).sin().square().mean().backward()
        worst = max((p.grad - g).abs().max().item() for p, g in zip(network.parameters(), found))
        assert all(g.any() for g in found)
        print(worst)
    torch.distributed.destroy_process_group()

child = os.fork()
train(int(child == 0), STORE)
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_two_processes_have_the_gradient_of_one(tmp_path: Any) -> None:
    assert float(run(PARALLEL.replace("STORE", repr(str(tmp_path / "store")))).stdout) <= 1e-12
