// Kernels of 2x2 and 2^k x 2^k matrices.
#pragma once

#include "lanes.inc.hpp"

namespace ketgrad {
namespace {

template <typename Real>
struct Complex2 {
  Half<Real> cr, ci, sr, si;
  Complex2(const MixOp<Real>& op, int side)
      : cr(load_half(op.c_re[side])),
        ci(load_half(op.c_im[side])),
        sr(load_half(op.s_re[side])),
        si(load_half(op.s_im[side])) {}

  template <bool kReal>
  inline __attribute__((always_inline)) Amplitude<Real> times(const Amplitude<Real>& a,
                                                              const Amplitude<Real>& b) const {
    Amplitude<Real> out;
    if constexpr (kReal) {
      for (int k = 0; k < Lanes<Real>::count; ++k) {
        out.re.r[k] = cr.r[k] * a.re.r[k] + sr.r[k] * b.re.r[k];
        out.im.r[k] = cr.r[k] * a.im.r[k] + sr.r[k] * b.im.r[k];
      }
      return out;
    }
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      out.re.r[k] = cr.r[k] * a.re.r[k] - ci.r[k] * a.im.r[k] + sr.r[k] * b.re.r[k] - si.r[k] * b.im.r[k];
      out.im.r[k] = cr.r[k] * a.im.r[k] + ci.r[k] * a.re.r[k] + sr.r[k] * b.im.r[k] + si.r[k] * b.re.r[k];
    }
    return out;
  }
};

template <typename Real, bool kShuffle, bool kReal, bool kSelf>
void mix_loop(Real* psi, const MixOp<Real>& op, u64 begin, u64 end) {
  const Complex2<Real> ma(op, 0), mb(op, 1);
  const LaneXor<Real> x(op.x_lo);
  const Items items(op.index);
  const u64 x_hi = op.x_hi;
  items.each(begin, end, [&](u64 i) {
    const Amplitude<Real> a = load_group(psi, i);
    if constexpr (kSelf) {
      store_group(psi, i, ma.template times<kReal>(a, partner<Real, kShuffle>(psi, i, a, x)));
    } else {
      const Amplitude<Real> b = load_group(psi, i ^ x_hi);
      store_group(psi, i, ma.template times<kReal>(a, b));
      store_group(psi, i ^ x_hi, mb.template times<kReal>(b, a));
    }
  });
}

template <typename Real>
void mix(Real* psi, const MixOp<Real>& op, u64 begin, u64 end) {
  if (op.x_lo && op.real)
    mix_loop<Real, true, true, true>(psi, op, begin, end);
  else if (op.x_lo)
    mix_loop<Real, true, false, true>(psi, op, begin, end);
  else if (op.real)
    mix_loop<Real, false, true, false>(psi, op, begin, end);
  else
    mix_loop<Real, false, false, false>(psi, op, begin, end);
}

// sum += coefficient * shuffled(a); two fused operations each, where a difference of products would be three
template <typename Real>
inline __attribute__((always_inline)) void add_scaled(Amplitude<Real>& sum, const Half<Real>& re, const Half<Real>& im,
                                                      const Amplitude<Real>& a) {
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    sum.re.r[k] += re.r[k] * a.re.r[k];
    sum.re.r[k] -= im.r[k] * a.im.r[k];
    sum.im.r[k] += re.r[k] * a.im.r[k];
    sum.im.r[k] += im.r[k] * a.re.r[k];
  }
}

// One or two targets, kIn = 2 or 4: kHi groups and kIn / kHi lane permutations of each, all in registers.
template <typename Real, int kIn, int kHi, bool kPerLane>
void dense_few(Real* psi, const DenseOp<Real>& op, u64 begin, u64 end) {
  constexpr int lo = kIn / kHi;
  const Items items(op.index);
  const LaneXor<Real> moved[4] = {LaneXor<Real>(op.lane_xors[0]), LaneXor<Real>(op.lane_xors[lo > 1 ? 1 : 0]),
                                  LaneXor<Real>(op.lane_xors[lo > 2 ? 2 : 0]),
                                  LaneXor<Real>(op.lane_xors[lo > 2 ? 3 : 0])};
  items.each(begin, end, [&](u64 i) __attribute__((always_inline)) {
    Amplitude<Real> in[kIn];
#pragma GCC unroll 4
    for (int c = 0; c < kHi; ++c) {
      const u64 from = i | op.offsets[c];
      in[c * lo] = load_group(psi, from);
#pragma GCC unroll 4
      for (int p = 1; p < lo; ++p) in[c * lo + p] = partner<Real, true>(psi, from, in[c * lo], moved[p]);
    }
    const Real* m = op.coefficients;
#pragma GCC unroll 4
    for (int r = 0; r < kHi; ++r) {
      Amplitude<Real> sum{zero_half<Real>(), zero_half<Real>()};
#pragma GCC unroll 4
      for (int c = 0; c < kIn; ++c) {
        if constexpr (kPerLane) {
          add_scaled(sum, load_half(m), load_half(m + kLanes<Real>), in[c]);
          m += 2 * kLanes<Real>;
        } else {
          add_scaled(sum, broadcast(m[0]), broadcast(m[1]), in[c]);
          m += 2;
        }
      }
      store_group(psi, i | op.offsets[r], sum);
    }
  });
}

template <typename Real>
void dense(Real* psi, const DenseOp<Real>& op, Real* scratch, u64 begin, u64 end) {
  constexpr int group = 2 * kLanes<Real>;
  const int n_in = op.n_hi * op.n_lo;
  if (n_in == 4) {
    if (op.n_hi == 4)
      return (op.per_lane ? dense_few<Real, 4, 4, true> : dense_few<Real, 4, 4, false>)(psi, op, begin, end);
    return (op.n_hi == 2 ? dense_few<Real, 4, 2, true> : dense_few<Real, 4, 1, true>)(psi, op, begin, end);
  }
  if (n_in == 2) {
    if (op.n_hi == 2)
      return (op.per_lane ? dense_few<Real, 2, 2, true> : dense_few<Real, 2, 2, false>)(psi, op, begin, end);
    return dense_few<Real, 2, 1, true>(psi, op, begin, end);
  }
  const Items items(op.index);
  items.each(begin, end, [&](u64 i) {
    for (int c = 0; c < op.n_hi; ++c) {
      const u64 from = i | op.offsets[c];
      const Amplitude<Real> a = load_group(psi, from);
      for (int p = 0; p < op.n_lo; ++p) {
        const u64 to = static_cast<u64>(c) * static_cast<u64>(op.n_lo) + static_cast<u64>(p);
        if (op.lane_xors[p])
          store_group(scratch, to, partner<Real, true>(psi, from, a, LaneXor<Real>(op.lane_xors[p])));
        else
          store_group(scratch, to, a);
      }
    }
    const Real* m = op.coefficients;
    for (int r = 0; r < op.n_hi; ++r) {
      Amplitude<Real> sum{zero_half<Real>(), zero_half<Real>()};
      for (int c = 0; c < n_in; ++c) {
        const Amplitude<Real> a = load_group(scratch, static_cast<u64>(c));
        if (op.per_lane) {
          add_scaled(sum, load_half(m), load_half(m + kLanes<Real>), a);
          m += group;
        } else {
          add_scaled(sum, broadcast(m[0]), broadcast(m[1]), a);
          m += 2;
        }
      }
      store_group(psi, i | op.offsets[r], sum);
    }
  });
}

}  // namespace
}  // namespace ketgrad
