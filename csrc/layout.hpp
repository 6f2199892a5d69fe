// How the amplitudes of a state lie in memory, and what masks become there.
#pragma once

#include "bits.hpp"

namespace ketgrad {

// `lane_bits` low bits of the index are among the lanes (0 in lanes mode), the others number the groups.
struct Layout {
  int lane_bits;
  u64 groups;

  u64 lo(u64 mask) const { return mask & low_ones(lane_bits); }
  u64 hi(u64 mask) const { return mask >> lane_bits; }
};

}  // namespace ketgrad
