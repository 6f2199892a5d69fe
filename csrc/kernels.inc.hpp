// All kernels, written once over vectors of KETGRAD_VECTOR_BYTES and compiled once per instruction set.
// Everything is in an unnamed namespace and uses nothing of the standard library that could be emitted as a shared
// symbol: a copy compiled for a newer processor must never be linked into the others.
#pragma once

#include "anneal.inc.hpp"
#include "gates.inc.hpp"
#include "matrices.inc.hpp"
#include "moves.inc.hpp"
#include "phases.inc.hpp"
#include "shifts.inc.hpp"
#include "terms.inc.hpp"
#include "trig.inc.hpp"
#include "turns.inc.hpp"

namespace ketgrad {
namespace {

template <typename Real>
constexpr KernelTable<Real> make_table() {
  return {pair<Real>,          permute<Real>,
          diagonal<Real>,      mix<Real>,
          dense<Real>,         table<Real>,
          pair_reverse<Real>,  diagonal_reverse<Real>,
          table_reverse<Real>, turns<Real>,
          turns_reverse<Real>, move<Real>,
          shuffle<Real>,       flip_inner<Real>,
          phase_table<Real>,   lane_phase_table<Real>,
          phases<Real>,        phases_reverse<Real>,
          signed_sums<Real>,   expect<Real>,
          observe<Real>,       mix_both<Real>,
          cycle<Real>,         combine<Real>,
          cumulate<Real>,      weigh,
          half_angles};
}

}  // namespace
}  // namespace ketgrad
