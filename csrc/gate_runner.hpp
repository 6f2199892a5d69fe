// Instructions that stay gates, on a tile: by the kernels that also run them one by one.
#pragma once

#include <vector>

#include "tiles.hpp"

namespace ketgrad {

template <typename Real>
struct GateRunner {
  const KernelTable<Real>& kernels;
  const std::vector<Rotor<Real>>& rotors;          // of steps, forward
  const std::vector<TableEntries<Real>>& entries;  // of steps
  const std::vector<Chosen<Real>>& chosen;         // of the matrices of dense operands

  // On a part of the gate's items; tables want the whole.
  void apply(const Geometry& g, const TileGate<Real>& gate, Real* psi, u64 base, Way way, Real* scratch,
             Part part) const;
  // Adds what the gradient needs to out[lane], then undoes the gate on both.
  void reverse(const Geometry& g, const TileGate<Real>& gate, Real* psi, Real* lambda, u64 base, double* out,
               Part part) const;

 private:
  template <typename F>
  void table_rows(const Geometry& g, const TileGate<Real>& gate, u64 base, bool inverse, F f) const;
};

extern template struct GateRunner<float>;
extern template struct GateRunner<double>;

}  // namespace ketgrad
