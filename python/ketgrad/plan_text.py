"""The plan of a large state as text: its passes, what they move and compute, and the ideal time.

Owns: how the counts of `Plan.passes` are added up and printed. May not know: circuits, engines.
"""

from __future__ import annotations

from collections.abc import Sequence

from .memory import format_bytes

TURN, LAYER, CROSSING = 4, 8, 4  # lane operations per amplitude: two fused ones for each real of a turn


def lane_operations(facts: dict[str, int]) -> int:
    """Of one pass, per amplitude; gates, whose cost is their own, and moves, which compute nothing, are left out."""
    turns = facts["turns"] + facts["lane_turns"]
    return TURN * turns + LAYER * facts["layers"] + CROSSING * facts["crossings"]


def plan_text(
    passes: Sequence[dict[str, int]],
    n_wires: int,
    itemsize: int,
    n_gates: int,
    bandwidth: float | None = None,
    lane_rate: float | None = None,
) -> str:
    """A line for each pass, then the sums.

    Args:
        itemsize: bytes of an amplitude.
        bandwidth, lane_rate: bytes and lane operations per second; without them no ideal time is given.
    """
    head = f"{n_wires} qubits, {n_gates} gates"
    if not passes:
        return f"{head}: gate by gate (a state this small stays in the cache)"
    lines = [f"{head}: {len(passes)} passes over {format_bytes(itemsize << n_wires)}"]
    moved = operations = 0
    for k, f in enumerate(passes):
        visited = f["visited"] * f["tile_bytes"]
        moved += 2 * visited
        operations += lane_operations(f) * (visited // itemsize)
        if f["whole"]:
            lines.append(f"{k:4}  one gate on the whole state")
            continue
        lines.append(
            f"{k:4}  {f['visited']} of {f['tiles']} tiles of {format_bytes(f['tile_bytes'])}: "
            f"{f['turns']} turns in {f['blocks']} blocks, {f['lane_turns']} within lanes, "
            f"{f['phases']} phases in {f['layers']} layers, {f['moves']} moves, {f['gates']} gates"
        )
    lines.append(f"moved {format_bytes(moved)}, {operations / 1e9:.3g} G lane operations beside gates")
    if bandwidth and lane_rate:
        lines.append(f"ideal {max(moved / bandwidth, operations / lane_rate) * 1e3:.3g} ms")
    return "\n".join(lines)
