// The numbers of one call for a pass: what its blocks, turns and layers multiply by.
//
// A block of turns needs half the arithmetic without its cosines. A sweep leaves them behind in a factor, which the
// next layer or turn within lanes takes up: the state is factor * what memory holds.
#pragma once

#include <array>
#include <vector>

#include "layers.hpp"
#include "tiles.hpp"

namespace ketgrad {

// The numbers of a block, with of(turn, lane) its half angle. A scaled one takes tangents, the same for all lanes but
// for signs; another takes up the factor.
template <typename Real, typename Of>
void fill_block(BlockAngles<Real>& out, const TileBlock& block, Of of, bool scaled, double factor) {
  out.scaled = scaled;
  for (std::size_t r = 0; r < block.ops.size(); ++r, factor = 1) {
    out.lost[r] = scaled ? of(r, 0).c * of(r, 0).c : 1 / (factor * factor);
    for (int l = 0; l < kLanes<Real>; ++l) {
      const HalfAngle t = of(r, l);
      out.c[r][l] = static_cast<Real>(t.c * factor);
      out.s[r][l] = static_cast<Real>((scaled ? t.s / t.c : t.s * factor) * lane_sign(l, block.lanes[r]));
    }
  }
}

template <typename Real>
struct PassNumbers {
  std::vector<BlockAngles<Real>> blocks;
  std::vector<std::array<Rotor<Real>, 2>> turns;  // for either sign
  std::vector<LayerNumbers<Real>> layers;
  std::vector<double> factors;  // where each stage begins
  std::vector<double> taken;    // what each block takes up of it

  // `factor`: null to leave nothing behind. `settle`: with this pass the factor becomes 1.
  PassNumbers(const TilePass<Real>& pass, const std::vector<Op>& ops, const std::vector<double>& angles, bool backwards,
              bool settle, double* factor);
};

}  // namespace ketgrad
