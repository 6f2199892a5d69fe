// The plan of a circuit: its ops, the passes they run in, and what is known of them before any angle is.
#pragma once

#include <utility>

#include "tiles.hpp"

namespace ketgrad {

// An angle that each lane has for itself: offset + scale * (the lane's value of a slot).
struct LaneAngle {
  int slot;
  double scale, offset;
  bool operator==(const LaneAngle&) const = default;
};

// What a circuit runs by: a large state in passes over its tiles, or samples as lanes in one pass, a state in place.
template <typename Real>
struct TilePlan {
  Words words;
  std::vector<bool> trained;  // ops
  std::vector<bool> gates;    // steps that stay gates
  std::vector<LaneAngle> lane_angles;
  std::vector<std::pair<int, int>> lane_angle_of;  // of an op that varies: which of them, and its sign
  std::vector<TilePass<Real>> passes, head, tail;
  int row_bits;             // of the least rows
  bool complete;            // from |0..0> on, passes write all of the state before anything else reads it
  Compiled<Real> compiled;  // gates, and observables in physical words

  TilePlan(const Source& source, int lane_bits);
};

}  // namespace ketgrad
