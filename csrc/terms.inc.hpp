// The kernels of observables: sums of <psi|term|psi> over a block, and lambda = sum of weight * term psi.
#pragma once

#include "signs.inc.hpp"

namespace ketgrad {
namespace {

// Partner of group i under the group's X mask.
template <typename Real>
inline __attribute__((always_inline)) Amplitude<Real> flipped(const Real* psi, const TermGroup<Real>& terms,
                                                              const LaneXor<Real>& x, u64 i) {
  const Amplitude<Real> b = load_group(psi, i ^ terms.x_hi);
  return terms.x_lo ? partner<Real, true>(psi, i ^ terms.x_hi, b, x) : b;
}

// f(u, i) for the groups of a block where a pattern holds.
template <typename F>
inline void where_it_holds(const PatternTerm& p, u64 base, u64 block, F f) {
  for (u64 u = 0; u < block; ++u)
    if (((base + u) & p.ctrl_mask) == p.ctrl_value) f(u, base + u);
}

template <typename Real>
void expect(const Real* psi, const TermGroup<Real>& terms, u64 base, double* sums, Real* scratch) {
  constexpr u64 lanes = kLanes<Real>;
  Real *re = scratch, *im = scratch + terms.block * lanes;
  const LaneXor<Real> x(terms.x_lo);
  for (u64 u = 0; u < terms.block; ++u) {
    const Amplitude<Real> a = load_group(psi, base + u), b = flipped(psi, terms, x, base + u);
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      const u64 at = u * lanes + static_cast<u64>(k * Lanes<Real>::width);
      store(re + at, a.re.r[k] * b.re.r[k] + a.im.r[k] * b.im.r[k]);
      if (terms.odd) store(im + at, a.re.r[k] * b.im.r[k] - a.im.r[k] * b.re.r[k]);
    }
  }
  const u64 n_re = static_cast<u64>(terms.n_masks[0]), n_im = static_cast<u64>(terms.n_masks[1]);
  for (int t = 0; t < terms.n_patterns; ++t) {
    const PatternTerm& p = terms.patterns[t];
    Half<Real> sum = zero_half<Real>();
    where_it_holds(p, base, terms.block, [&](u64 u, u64 i) {
      const Half<Real> v = load_half((p.odd ? im : re) + u * lanes);
      const Real sign = parity(i & p.z_hi) ? Real(-1) : Real(1);
      for (int k = 0; k < Lanes<Real>::count; ++k) sum.r[k] += sign * v.r[k];
    });
    add_half(sums + (n_re + n_im + static_cast<u64>(t)) * lanes, sum, false);
  }
  fold(re, terms.block, terms.masks[0], terms.n_masks[0], base, sums);
  fold(im, terms.block, terms.masks[1], terms.n_masks[1], base, sums + n_re * lanes);
}

template <typename Real>
void observe(const Real* psi, Real* lambda, const TermGroup<Real>& terms, const Real* weights, u64 base, bool add,
             Real* scratch) {
  constexpr u64 lanes = kLanes<Real>;
  Real *re = scratch, *im = scratch + terms.block * lanes;
  const LaneXor<Real> x(terms.x_lo);
  const u64 n_re = static_cast<u64>(terms.n_masks[0]), n_im = static_cast<u64>(terms.n_masks[1]);
  unfold(re, terms.block, terms.masks[0], terms.n_masks[0], base, weights);
  if (terms.odd) unfold(im, terms.block, terms.masks[1], terms.n_masks[1], base, weights + n_re * lanes);
  for (int t = 0; t < terms.n_patterns; ++t) {
    const PatternTerm& p = terms.patterns[t];
    const Half<Real> w = load_half(weights + (n_re + n_im + static_cast<u64>(t)) * lanes);
    where_it_holds(p, base, terms.block, [&](u64 u, u64 i) {
      Real* f = (p.odd ? im : re) + u * lanes;
      Half<Real> v = load_half(f);
      const Real sign = parity(i & p.z_hi) ? Real(-1) : Real(1);
      for (int k = 0; k < Lanes<Real>::count; ++k) v.r[k] += sign * w.r[k];
      store_half(f, v);
    });
  }
  for (u64 u = 0; u < terms.block; ++u) {
    const u64 i = base + u;
    const Amplitude<Real> b = flipped(psi, terms, x, i);
    const Half<Real> f = load_half(re + u * lanes);
    Amplitude<Real> out = add ? load_group(lambda, i) : Amplitude<Real>{zero_half<Real>(), zero_half<Real>()};
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      out.re.r[k] += f.r[k] * b.re.r[k];
      out.im.r[k] += f.r[k] * b.im.r[k];
    }
    if (terms.odd) {
      const Half<Real> g = load_half(im + u * lanes);
      for (int k = 0; k < Lanes<Real>::count; ++k) {
        out.re.r[k] -= g.r[k] * b.im.r[k];
        out.im.r[k] += g.r[k] * b.re.r[k];
      }
    }
    store_group(lambda, i, out);
  }
}

}  // namespace
}  // namespace ketgrad
