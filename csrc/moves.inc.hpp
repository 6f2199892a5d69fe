// Kernels that only move amplitudes of a tile: one move, and many at once.
#pragma once

#include "gates.inc.hpp"

namespace ketgrad {
namespace {

template <typename Real>
inline __attribute__((always_inline)) Amplitude<Real> blend(const Half<Real>& take, const Amplitude<Real>& a,
                                                            const Amplitude<Real>& b) {
  Amplitude<Real> out;
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    const auto moved = take.r[k] != Real(0);
    out.re.r[k] = moved ? b.re.r[k] : a.re.r[k];
    out.im.r[k] = moved ? b.im.r[k] : a.im.r[k];
  }
  return out;
}

template <typename Real, bool kShuffle>
void move_loop(Real* psi, const MoveOp<Real>& op, u64 begin, u64 end) {
  const Half<Real> take[2] = {load_half(op.take[0]), load_half(op.take[1])};
  const LaneXor<Real> x(op.x_lo);
  const Items items(op.index);
  const bool across = parity(op.x_hi & op.signs);
  items.each(begin, end, [&](u64 i) {
    const bool p = parity(i & op.signs);
    const Amplitude<Real> a = load_group(psi, i), pa = partner<Real, kShuffle>(psi, i, a, x);
    if (op.x_hi == 0) return store_group(psi, i, blend<Real>(take[p], a, pa));
    const u64 j = i ^ op.x_hi;
    const Amplitude<Real> b = load_group(psi, j), pb = partner<Real, kShuffle>(psi, j, b, x);
    store_group(psi, i, blend<Real>(take[p], a, pb));
    store_group(psi, j, blend<Real>(take[p != across], b, pa));
  });
}

template <typename Real>
void move(Real* psi, const MoveOp<Real>& op, u64 begin, u64 end) {
  if (op.x_lo)
    move_loop<Real, true>(psi, op, begin, end);
  else
    move_loop<Real, false>(psi, op, begin, end);
}

template <typename Real>
void shuffle(const Real* from, Real* to, const std::uint32_t* groups, const std::uint32_t* lanes, std::uint32_t offset,
             u64 count) {
  for (u64 t = 0; t < count; ++t) {
    const std::uint32_t start = groups[t] ^ offset;
    Real* out = to + t * (2 * kLanes<Real>);
    for (int l = 0; l < kLanes<Real>; ++l) {
      const Real* in = from + (start ^ lanes[l]);
      out[l] = in[0];
      out[kLanes<Real> + l] = in[kLanes<Real>];
    }
  }
}

}  // namespace
}  // namespace ketgrad
