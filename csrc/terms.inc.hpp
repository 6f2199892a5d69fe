// The kernels of observables: sums of <psi|term|psi> over a block, and lambda = sum of weight * term psi.
#pragma once

#include "gates.inc.hpp"

namespace ketgrad {
namespace {

// Walsh-Hadamard transform over the index of `count` halves, `stride` reals apart.
template <typename Real>
void transform(Real* block, int count, int stride) {
  for (int step = 1; step < count; step *= 2)
    for (int i = 0; i < count; ++i) {
      if (i & step) continue;
      Real *p = block + i * stride, *q = block + (i + step) * stride;
      const Half<Real> a = load_half(p), b = load_half(q);
      Half<Real> sum, difference;
      for (int k = 0; k < Lanes<Real>::count; ++k) {
        sum.r[k] = a.r[k] + b.r[k];
        difference.r[k] = a.r[k] - b.r[k];
      }
      store_half(p, sum);
      store_half(q, difference);
    }
}

// Partner of group i under the group's X mask.
template <typename Real>
inline Amplitude<Real> flipped(const Real* psi, const TermGroup<Real>& terms, const LaneXor<Real>& x, u64 i) {
  const Amplitude<Real> b = load_group(psi, i ^ terms.x_hi);
  return terms.x_lo ? partner<Real, true>(psi, i ^ terms.x_hi, b, x) : b;
}

template <typename Real>
void expect(const Real* psi, const TermGroup<Real>& terms, u64 base, int count, double* sums) {
  constexpr int lanes = kLanes<Real>, group = 2 * lanes;
  alignas(64) Real products[kBlock * group];
  const LaneXor<Real> x(terms.x_lo);
  const bool real_only = terms.x_hi == 0 && terms.x_lo == 0;
  for (int u = 0; u < count; ++u) {
    const Amplitude<Real> a = load_group(psi, base + static_cast<u64>(u));
    const Amplitude<Real> b = flipped(psi, terms, x, base + static_cast<u64>(u));
    Amplitude<Real> q;
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      q.re.r[k] = a.re.r[k] * b.re.r[k] + a.im.r[k] * b.im.r[k];
      q.im.r[k] = a.re.r[k] * b.im.r[k] - a.im.r[k] * b.re.r[k];
    }
    store_group(products, static_cast<u64>(u), q);
  }
  // rows with controls read the products, rows without may read their transform
  auto add = [&](int row, const Half<Real>& v, bool negative) {
    const TermRow<Real>& term = terms.rows[row];
    const Real sign = negative ? -term.prefactor : term.prefactor;
    double* out = sums + row * lanes;
    for (int k = 0; k < Lanes<Real>::count; ++k)
      for (int l = 0; l < Lanes<Real>::width; ++l) {
        const int at = k * Lanes<Real>::width + l;
        out[at] += static_cast<double>(sign * term.lane[at] * v.r[k][l]);
      }
  };
  for (int row = 0; row < terms.n_rows; ++row) {
    const TermRow<Real>& term = terms.rows[row];
    if (terms.transform && !term.ctrl_mask) continue;
    Half<Real> sum = zero_half<Real>();
    for (int u = 0; u < count; ++u) {
      const u64 i = base + static_cast<u64>(u);
      if ((i & term.ctrl_mask) != term.ctrl_value) continue;
      const Half<Real> v = load_half(products + u * group + term.odd * lanes);
      const Real sign = parity(i & term.z_hi) ? Real(-1) : Real(1);
      for (int k = 0; k < Lanes<Real>::count; ++k) sum.r[k] += sign * v.r[k];
    }
    add(row, sum, false);
  }
  if (!terms.transform) return;
  transform(products, count, group);
  if (!real_only) transform(products + lanes, count, group);
  for (int row = 0; row < terms.n_rows; ++row) {
    const TermRow<Real>& term = terms.rows[row];
    if (term.ctrl_mask) continue;
    const int inside = static_cast<int>(term.z_hi & static_cast<u64>(count - 1));
    add(row, load_half(products + inside * group + term.odd * lanes), parity(base & term.z_hi));
  }
}

template <typename Real>
void observe(const Real* psi, Real* lambda, const TermGroup<Real>& terms, const Real* weights, u64 base, int count,
             bool add) {
  constexpr int lanes = kLanes<Real>, group = 2 * lanes;
  alignas(64) Real factors[kBlock * group];
  const LaneXor<Real> x(terms.x_lo);
  std::memset(factors, 0, static_cast<std::size_t>(count) * group * sizeof(Real));
  // (-i)^nY: an odd number of Ys puts the factor into the imaginary part with the opposite sign
  auto put = [&](int row, int at, bool negative) {
    const TermRow<Real>& term = terms.rows[row];
    const Real plain = term.odd ? -term.prefactor : term.prefactor;
    const Real sign = negative ? -plain : plain;
    Real* p = factors + at * group + term.odd * lanes;
    const Real* w = weights + row * lanes;
    for (int l = 0; l < lanes; ++l) p[l] += sign * term.lane[l] * w[l];
  };
  if (terms.transform) {
    for (int row = 0; row < terms.n_rows; ++row)
      if (!terms.rows[row].ctrl_mask)
        put(row, static_cast<int>(terms.rows[row].z_hi & static_cast<u64>(count - 1)),
            parity(base & terms.rows[row].z_hi));
    transform(factors, count, group);
    transform(factors + lanes, count, group);
  }
  for (int row = 0; row < terms.n_rows; ++row) {
    const TermRow<Real>& term = terms.rows[row];
    if (terms.transform && !term.ctrl_mask) continue;
    for (int u = 0; u < count; ++u) {
      const u64 i = base + static_cast<u64>(u);
      if ((i & term.ctrl_mask) == term.ctrl_value) put(row, u, parity(i & term.z_hi));
    }
  }
  for (int u = 0; u < count; ++u) {
    const u64 i = base + static_cast<u64>(u);
    const Amplitude<Real> f = load_group(factors, static_cast<u64>(u));
    Amplitude<Real> out = turn(f.re, f.im, flipped(psi, terms, x, i));
    if (add) {
      const Amplitude<Real> old = load_group(lambda, i);
      for (int k = 0; k < Lanes<Real>::count; ++k) {
        out.re.r[k] += old.re.r[k];
        out.im.r[k] += old.im.r[k];
      }
    }
    store_group(lambda, i, out);
  }
}

}  // namespace
}  // namespace ketgrad
