"""Training under noise: its settings, the model that is differentiated, the comparison and what is written of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ketgrad as kg
from ketgrad import cli, data, job, noise, train
from ketgrad.errors import ArgumentError, ArgumentTypeError, CircuitError
from ketgrad.hybrid import Classifier, Regressor, build_circuit, readouts
from ketgrad.noisy_training import MITIGATIONS, described, noisy_model, others
from ketgrad.train import Settings

SMALL = Settings(qubits=2, layers=1, epochs=2, batch=16, lr=0.05, noise="depolarizing=0.05,readout=0.03")


def iris() -> data.Dataset:
    return data.load("iris")


def test_a_line_of_text_is_a_noise_model() -> None:
    parsed = noise.parse(" 0.02, amplitude_damping=0.01 ,readout=0.03")
    by_hand = (
        noise.NoiseModel()
        .after(noise.depolarizing(0.02), n_wires=1)
        .after(noise.depolarizing(0.02, 2), n_wires=2)
        .after(noise.amplitude_damping(0.01))
        .readout_error(0.03)
    )
    assert parsed == by_hand
    ones = noise.parse("depolarizing1=0.1,depolarizing2=0.2")
    assert ones == noise.NoiseModel().after(noise.depolarizing(0.1), n_wires=1).after(
        noise.depolarizing(0.2, 2), n_wires=2
    )
    for name in ("bit_flip", "phase_flip", "bit_phase_flip", "phase_damping"):
        assert noise.parse(f"{name}=0.1") == noise.NoiseModel().after(getattr(noise, name)(0.1))


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("depolarising=0.1", ArgumentError, "unknown name 'depolarising'.*Did you mean 'depolarizing'"),
        ("readout", ArgumentError, "list of name=strength.*got 'readout'"),
        ("bit_flip=x", ArgumentError, "list of name=strength.*got 'bit_flip=x'"),
        ("", ArgumentError, "list of name=strength"),
        ("bit_flip=1.5", CircuitError, "probabilities add up to at most 1"),
        (b"0.1", ArgumentTypeError, "noise is a text"),
    ],
)
def test_texts_that_are_no_noise_are_refused(text: object, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        noise.parse(text)  # type: ignore[arg-type]
    with pytest.raises(kind, match=words):
        Settings(noise=text)  # type: ignore[arg-type]


def test_settings_refuse_mitigation_of_nothing() -> None:
    with pytest.raises(ArgumentError, match="mitigation and trajectories are of a noisy circuit"):
        Settings(mitigation="zne")
    with pytest.raises(ArgumentError, match="mitigation is one of zne.*got 'zen'.*Did you mean 'zne'"):
        Settings(noise="0.1", mitigation="zen")
    with pytest.raises(ArgumentTypeError, match="noise='0.1'; that of features is input_noise"):
        Settings(noise=0.1)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="trajectories must be from 2"):
        Settings(noise="0.1", trajectories=1)


@pytest.mark.parametrize("mitigation", [None, *MITIGATIONS])
def test_the_gradient_of_a_network_under_noise_is_its_slope(mitigation: str | None) -> None:
    rng = np.random.default_rng(3)
    text = "depolarizing1=0.01,readout=0.03"
    settings = Settings(qubits=2, layers=1, noise=text, mitigation=mitigation)
    x, y = rng.normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])
    network = Classifier.create(x, [0, 1], qubits=2, layers=1, rng=rng)
    network.noisy = noisy_model(network, settings)
    loss, _, gradient = network.loss_and_gradient(x, y)
    along, h = rng.normal(size=len(network.theta)), 1e-5
    start, ends = network.theta.copy(), []
    for sign in (1, -1):
        network.theta = start + sign * h * along
        ends.append(network.loss_and_gradient(x, y)[0])
    assert np.isclose((ends[0] - ends[1]) / (2 * h), gradient @ along, rtol=1e-6, atol=1e-8)
    network.theta, network.noisy = start, None
    assert not np.isclose(loss, network.loss_and_gradient(x, y)[0], rtol=1e-6), "the noise did nothing"


def test_what_a_noisy_training_is_compared_with() -> None:
    both = Settings(noise="0.1", mitigation="zne", trajectories=10)
    assert [described(s) for s in (both, *others(both))] == ["noise, zne", "noise, not mitigated", "no noise"]
    assert [described(s) for s in others(Settings(noise="0.1"))] == ["no noise"]
    assert others(Settings()) == []
    assert others(both)[0].trajectories == 10


def test_a_job_under_noise_compares_and_reports(tmp_path: Path) -> None:
    settings = Settings(**{**vars(SMALL), "mitigation": "zne-linear"})
    outcome = job.run(iris(), settings, tmp_path, seeds=2, classical=False)
    names = [v.name for v in outcome.variants]
    assert names == ["noise, zne-linear", "noise, not mitigated", "no noise"]
    ideal = outcome.variants[2]
    assert ideal.as_run == ideal.accuracies and ideal.circuits == 1 and ideal.variance is None
    assert outcome.variants[0].circuits == 2
    assert np.isclose(outcome.variants[0].variance or 0, 2.5)  # (3/2)^2 + (1/2)^2
    plain = train.fit(*split()[0], Settings(**{**vars(SMALL), "noise": None}), test=split()[1])
    assert np.array_equal(plain.network.theta, ideal.results[0].network.theta), "the same training as without a job"
    page, found = (tmp_path / job.REPORT).read_text(), json.loads((tmp_path / job.RESULTS).read_text())
    assert "Under noise" in page and "noise, zne-linear" in page
    assert [row["name"] for row in found["under_noise"]] == names
    assert [len(row["ideal_losses"]) for row in found["under_noise"]] == [2, 2, 2]
    again = job.run(iris(), settings, tmp_path, seeds=2, classical=False, resume=True)
    assert [v.losses for v in again.variants] == [v.losses for v in outcome.variants]


def split() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    flowers = iris()
    a, b = data.stratified_split(flowers.labels, job.TEST_FRACTION, job.SPLIT_SEED)
    return (flowers.features[a], flowers.labels[a]), (flowers.features[b], flowers.labels[b])


def test_the_command_line_trains_under_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--data", "iris", "--qubits", "2", "--layers", "1", "--epochs", "1", "--no-classical"]
    assert cli.main([*words, "--out", str(tmp_path), "--noise", "0.05", "--trajectories", "20"]) == 0
    shown = capsys.readouterr().out
    assert "under noise: 0.05" in shown and "noise, not mitigated" in shown and "no noise" in shown
    assert cli.main([*words, "--out", str(tmp_path / "b"), "--mitigation", "zne"]) == 1
    assert "of a noisy circuit" in capsys.readouterr().err
    assert cli.main([*words, "--out", str(tmp_path / "b"), "--noise", "depolarising=1"]) == 1
    assert "Did you mean" in capsys.readouterr().err


def test_trajectories_train_as_density_matrices_do() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    network = Classifier.create(x, [0, 1], qubits=2, layers=2, rng=rng)
    gradients = []
    for trajectories in (None, 4000):
        network.noisy = noisy_model(network, Settings(noise="0.1", trajectories=trajectories))
        gradients.append(network.loss_and_gradient(x, y)[2])
    assert np.linalg.norm(gradients[1] - gradients[0]) < 0.1 * np.linalg.norm(gradients[0])


def test_a_regressor_under_noise() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 2))
    settings = Settings(qubits=2, layers=1, epochs=2, task="regression", noise="amplitude_damping=0.1")
    result = train.fit(x, x[:, 0], settings)
    assert isinstance(result.network, Regressor)
    assert result.network.score(x, x[:, 0], noisy=True) != result.network.score(x, x[:, 0])
    model = kg.compile(build_circuit(2, 1), readouts(2), noise=noise.parse("amplitude_damping=0.1"))
    angles = result.network._angles(result.network._encode(result.network.standardise(x)))
    assert np.allclose(
        model(result.network.part("circuit"), angles), result.network.noisy(result.network.part("circuit"), angles)
    )
