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

template <typename Real>
struct PassNumbers {
  std::vector<BlockAngles<Real>> blocks;
  std::vector<std::array<Rotor<Real>, 2>> turns;  // for either sign
  std::vector<LayerNumbers<Real>> layers;
  std::vector<double> factors;  // where each stage begins
  std::vector<double> taken;    // what each block takes up of it

  // `factor`: null to leave nothing behind. `settle`: with this pass the factor becomes 1.
  PassNumbers(const TilePass<Real>& pass, const std::vector<Op>& ops, const std::vector<HalfAngle>& halves,
              bool backwards, bool settle, double* factor);
};

}  // namespace ketgrad
