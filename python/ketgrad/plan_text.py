"""The plan of a batch as text: how it runs and why, its passes, what they move and compute, and the ideal time.

Owns: how the counts of `Plan.choice` are added up and printed. May not know: circuits, engines.
"""

from __future__ import annotations

from typing import Any

from .memory import format_bytes

TURN, LAYER, CROSSING = 4, 8, 4  # lane operations per amplitude: two fused ones for each real of a turn


def lane_operations(facts: dict[str, int]) -> int:
    """Of one pass, per amplitude; gates, whose cost is their own, and moves, which compute nothing, are left out."""
    turns = facts["turns"] + facts["lane_turns"]
    return TURN * turns + LAYER * facts["layers"] + CROSSING * facts["crossings"]


def line_of(facts: dict[str, int]) -> str:
    """What a pass does."""
    if facts["whole"]:
        return "one gate on the whole state"
    return (
        f"{facts['visited']} of {facts['tiles']} tiles of {format_bytes(facts['tile_bytes'])}: "
        f"{facts['turns']} turns in {facts['blocks']} blocks, {facts['lane_turns']} within lanes, "
        f"{facts['phases']} phases in {facts['layers']} layers, {facts['moves']} moves, {facts['gates']} gates"
    )


def reason(choice: dict[str, Any]) -> str:
    """Why samples are lanes or run one after another."""
    if not choice["lanes_us"]:
        return "nothing else fits" if choice["mode"] == "lanes" else "a state this large fills the cache by itself"
    return f"estimated {choice['lanes_us']:.3g} us as lanes, {choice['single_us']:.3g} us one by one, on one thread"


def plan_text(
    choice: dict[str, Any],
    batch: int,
    n_wires: int,
    itemsize: int,
    n_gates: int,
    bandwidth: float | None = None,
    lane_rate: float | None = None,
) -> str:
    """How the batch runs and why, a line for each pass, then the sums.

    Args:
        choice: what `Plan.choice` gives.
        itemsize: bytes of an amplitude.
        bandwidth, lane_rate: bytes and lane operations per second; without them no ideal time is given.
    """
    head, passes = f"{n_wires} qubits, {n_gates} gates", choice["passes"]
    lanes, copies = choice["mode"] == "lanes", batch
    if lanes:
        copies = -(-batch // choice["lanes"])
        head += f", {batch} samples as lanes, {copies} x {choice['lanes']} at once ({reason(choice)})"
    elif batch > 1 and choice["mode"]:
        head += f", {batch} samples one by one ({reason(choice)})"
    if not passes:
        return f"{head}: gate by gate (a state this small stays in the cache)"
    one = f"{len(passes)} pass" + "es" * (len(passes) != 1)
    lines = [f"{head}: {one} over {format_bytes(passes[0]['tile_bytes'] if lanes else itemsize << n_wires)}"]
    moved = operations = 0
    for k, f in enumerate(passes):
        visited = f["visited"] * f["tile_bytes"]
        moved += 2 * visited * copies
        operations += lane_operations(f) * (visited // itemsize) * copies
        lines.append(f"{k:4}  {line_of(f)}")
    lines.append(f"moved {format_bytes(moved)}, {operations / 1e9:.3g} G lane operations beside gates")
    if bandwidth and lane_rate:
        lines.append(f"ideal {max(moved / bandwidth, operations / lane_rate) * 1e3:.3g} ms")
    return "\n".join(lines)
