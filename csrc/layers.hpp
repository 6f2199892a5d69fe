// Layers of phases in a tile: the numbers of one call, the tables that a thread keeps, and gradients from the product.
#pragma once

#include <array>
#include <vector>

#include "buffer.hpp"
#include "tiles.hpp"

namespace ketgrad {

// Cosine and sine of half an angle; what is meant to be 0 is 0.
struct HalfAngle {
  double c = 1, s = 0;
};

template <typename Real>
std::vector<HalfAngle> half_angles(const KernelTable<Real>& kernels, std::vector<double> angles);

// Factors of the members of a layer, and what no tile changes.
template <typename Real>
struct LayerNumbers {
  std::vector<HalfAngle> scalars, lanes, table;
  std::vector<std::vector<HalfAngle>> cross;
  double re[kLanes<Real>], im[kLanes<Real>];
  std::vector<std::array<Real, kLanes<Real>>> patterns;

  // `halves`: of the angles that ops have
  LayerNumbers(const TileLayer& layer, const std::vector<Op>& ops, const std::vector<HalfAngle>& halves);
  void scale(double factor);
};

struct LayerTables {
  Buffer memory;
  bool ready = false, inverse = false;
};

// The layer on the tile with this base, or its inverse. `known`: the same but for a factor, whose tables serve too.
template <typename Real>
void prepare_layer(const TileLayer& layer, const LayerNumbers<Real>& numbers, const KernelTable<Real>& kernels,
                   u64 base, bool inverse, u64 groups, LayerTables& tables, PhaseLayer<Real>& out,
                   const PhaseLayer<Real>* known = nullptr);

// Adds the gradients of trained members, from Im(conj(lambda) psi) of all groups, to out[member * lanes + lane].
// Consumes v.
template <typename Real>
void layer_sums(const TileLayer& layer, const KernelTable<Real>& kernels, u64 groups, u64 base, Real* v, double* out);

}  // namespace ketgrad
