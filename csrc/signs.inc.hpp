// Sums with the signs of many masks, sum over i of (-1)^parity(i & mask) v[i], and the other way round, v[i] = sum over
// masks of (-1)^parity(i & mask) w[mask]: Walsh-Hadamard transforms of what is asked for, and of no more.
//
// Masks ascend by the bits below `groups`, which is a power of two; the other bits give a mask one sign, that of
// `base`. 2^k groups and m masks take about 2^k (2 + log2(m)) additions.
#pragma once

#include "gates.inc.hpp"

namespace ketgrad {
namespace {

constexpr u64 kTransformed = 8;  // so many groups at once, in registers

template <typename Real>
inline __attribute__((always_inline)) void butterfly(Half<Real>& a, Half<Real>& b) {
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    const Reg<Real> x = a.r[k], y = b.r[k];
    a.r[k] = x + y;
    b.r[k] = x - y;
  }
}

template <typename Real>
inline __attribute__((always_inline)) void transform(Half<Real>* v, u64 groups) {
  for (u64 step = 1; step < groups; step *= 2)
    for (u64 i = 0; i < groups; ++i)
      if (!(i & step)) butterfly(v[i], v[i + step]);
}

template <typename Real>
inline __attribute__((always_inline)) void transform_few(Half<Real>* v, u64 groups) {
  if (groups == kTransformed)
    transform(v, kTransformed);  // unrolled
  else
    transform(v, groups);
}

// out (+/-)= v, in double precision.
template <typename Real>
inline __attribute__((always_inline)) void add_half(double* out, const Half<Real>& v, bool negative) {
  constexpr int width = Lanes<Real>::width;
  typedef double Wide __attribute__((vector_size(width * static_cast<int>(sizeof(double)))));
  for (int k = 0; k < Lanes<Real>::count; ++k) {
    Wide sum;
    std::memcpy(&sum, out + k * width, sizeof sum);
    const Wide more = __builtin_convertvector(v.r[k], Wide);
    sum = negative ? sum - more : sum + more;
    std::memcpy(out + k * width, &sum, sizeof sum);
  }
}

// How many of the ascending masks come before the first with this bit, the highest in which they differ.
inline int masks_without(const u64* masks, int count, u64 bit) {
  int low = 0;
  while (count > 0) {
    const int middle = count / 2;
    if (masks[low + middle] & bit) {
      count = middle;
    } else {
      low += middle + 1;
      count -= middle + 1;
    }
  }
  return low;
}

// Adds sum over i of (-1)^parity((base + i) & masks[m]) v[i] to sums[m * lanes]; v (groups x lanes) is lost. The
// highest bit is folded away: sums serve the masks without it, differences those with it.
template <typename Real>
void fold(Real* v, u64 groups, const u64* masks, int count, u64 base, double* sums) {
  constexpr u64 lanes = kLanes<Real>;
  if (count == 0) return;
  if (groups <= kTransformed) {
    Half<Real> few[kTransformed];
    for (u64 i = 0; i < groups; ++i) few[i] = load_half(v + i * lanes);
    transform_few(few, groups);
    for (int m = 0; m < count; ++m)
      add_half(sums + static_cast<u64>(m) * lanes, few[masks[m] & (groups - 1)], parity(base & masks[m]));
    return;
  }
  const u64 half = groups >> 1;
  const int without = masks_without(masks, count, half);
  Real* high = v + half * lanes;
  for (u64 i = 0; i < half; ++i) {
    Half<Real> a = load_half(v + i * lanes), b = load_half(high + i * lanes);
    butterfly(a, b);
    if (without > 0) store_half(v + i * lanes, a);
    if (without < count) store_half(high + i * lanes, b);
  }
  fold(v, half, masks, without, base, sums);
  fold(high, half, masks + without, count - without, base, sums + static_cast<u64>(without) * lanes);
}

// v[i] = sum over m of (-1)^parity((base + i) & masks[m]) weights[m * lanes], v (groups x lanes).
template <typename Real>
void unfold(Real* v, u64 groups, const u64* masks, int count, u64 base, const Real* weights) {
  constexpr u64 lanes = kLanes<Real>;
  if (groups <= kTransformed) {
    Half<Real> few[kTransformed];
    for (u64 i = 0; i < groups; ++i) few[i] = zero_half<Real>();
    for (int m = 0; m < count; ++m) {
      const Half<Real> w = load_half(weights + static_cast<u64>(m) * lanes);
      const bool negative = parity(base & masks[m]);
      Half<Real>& into = few[masks[m] & (groups - 1)];
      for (int k = 0; k < Lanes<Real>::count; ++k) into.r[k] = negative ? into.r[k] - w.r[k] : into.r[k] + w.r[k];
    }
    transform_few(few, groups);
    for (u64 i = 0; i < groups; ++i) store_half(v + i * lanes, few[i]);
    return;
  }
  const u64 half = groups >> 1;
  const int without = masks_without(masks, count, half);
  Real* high = v + half * lanes;
  if (without > 0) unfold(v, half, masks, without, base, weights);
  if (without < count)
    unfold(high, half, masks + without, count - without, base, weights + static_cast<u64>(without) * lanes);
  for (u64 i = 0; i < half; ++i) {
    Half<Real> a = without > 0 ? load_half(v + i * lanes) : zero_half<Real>();
    Half<Real> b = without < count ? load_half(high + i * lanes) : zero_half<Real>();
    butterfly(a, b);
    store_half(v + i * lanes, a);
    store_half(high + i * lanes, b);
  }
}

}  // namespace
}  // namespace ketgrad
