// What shifted circuits need besides gates: two matrices in one pass, moves along cycles, sums of a few states with a
// weight for each lane, the cumulative probabilities of the states in the lanes, and moments of what was drawn from
// them.
#pragma once

#include "lanes.inc.hpp"

namespace ketgrad {
namespace {

// (c a + s b) of one register of a group, complex numbers.
template <typename Real, bool kReal>
inline __attribute__((always_inline)) void mix_register(const MixOp<Real>& op, int k, Reg<Real>& a_re, Reg<Real>& a_im,
                                                        Reg<Real>& b_re, Reg<Real>& b_im) {
  const int at = k * Lanes<Real>::width;
  const Reg<Real> x = a_re, y = a_im, u = b_re, v = b_im;
  auto entry = [&](const Real(&row)[2][kLanes<Real>], int side) { return load(row[side] + at); };
  if constexpr (kReal) {
    a_re = entry(op.c_re, 0) * x + entry(op.s_re, 0) * u;
    a_im = entry(op.c_re, 0) * y + entry(op.s_re, 0) * v;
    b_re = entry(op.c_re, 1) * u + entry(op.s_re, 1) * x;
    b_im = entry(op.c_re, 1) * v + entry(op.s_re, 1) * y;
  } else {
    a_re = entry(op.c_re, 0) * x - entry(op.c_im, 0) * y + entry(op.s_re, 0) * u - entry(op.s_im, 0) * v;
    a_im = entry(op.c_re, 0) * y + entry(op.c_im, 0) * x + entry(op.s_re, 0) * v + entry(op.s_im, 0) * u;
    b_re = entry(op.c_re, 1) * u - entry(op.c_im, 1) * v + entry(op.s_re, 1) * x - entry(op.s_im, 1) * y;
    b_im = entry(op.c_re, 1) * v + entry(op.c_im, 1) * u + entry(op.s_re, 1) * y + entry(op.s_im, 1) * x;
  }
}

template <typename Real, bool kReal>
void mix_both_loop(Real* psi, const MixOp<Real>& a, const MixOp<Real>& b, const IndexMap& index) {
  const u64 away[4] = {0, a.x_hi * 2 * kLanes<Real>, b.x_hi * 2 * kLanes<Real>, (a.x_hi | b.x_hi) * 2 * kLanes<Real>};
  const Items items(index);
  items.each(0, index.count, [&](u64 i) {
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      Real* at = psi + i * (2 * kLanes<Real>)+k * Lanes<Real>::width;
      Reg<Real> re[4], im[4];
      for (int q = 0; q < 4; ++q) {
        re[q] = load(at + away[q]);
        im[q] = load(at + away[q] + kLanes<Real>);
      }
      mix_register<Real, kReal>(a, k, re[0], im[0], re[1], im[1]);
      mix_register<Real, kReal>(a, k, re[2], im[2], re[3], im[3]);
      mix_register<Real, kReal>(b, k, re[0], im[0], re[2], im[2]);
      mix_register<Real, kReal>(b, k, re[1], im[1], re[3], im[3]);
      for (int q = 0; q < 4; ++q) {
        store(at + away[q], re[q]);
        store(at + away[q] + kLanes<Real>, im[q]);
      }
    }
  });
}

template <typename Real>
void mix_both(Real* psi, const MixOp<Real>& a, const MixOp<Real>& b, const IndexMap& index) {
  if (a.real && b.real)
    mix_both_loop<Real, true>(psi, a, b, index);
  else
    mix_both_loop<Real, false>(psi, a, b, index);
}

template <typename Real>
void cycle(Real* psi, const std::uint32_t* cycles, u64 count) {
  for (const std::uint32_t *p = cycles, *end = cycles + count; p < end;) {
    const std::uint32_t length = *p++;
    const Amplitude<Real> first = load_group(psi, p[0]);
    for (std::uint32_t j = 0; j + 1 < length; ++j) store_group(psi, p[j], load_group(psi, p[j + 1]));
    store_group(psi, p[length - 1], first);
    p += length;
  }
}

template <typename Real>
void combine(Real* out, const CombineOp<Real>& op, u64 begin, u64 end) {
  for (u64 i = begin; i < end; ++i) {
    Amplitude<Real> sum{zero_half<Real>(), zero_half<Real>()};
    for (int n = 0; n < op.states; ++n) {
      const Half<Real> re = load_half(op.re[n]), im = load_half(op.im[n]);
      const Amplitude<Real> a = load_group(op.state[n], i);
      for (int k = 0; k < Lanes<Real>::count; ++k) {
        sum.re.r[k] += re.r[k] * a.re.r[k] - im.r[k] * a.im.r[k];
        sum.im.r[k] += re.r[k] * a.im.r[k] + im.r[k] * a.re.r[k];
      }
    }
    store_group(out, i, sum);
  }
}

template <typename Real>
void cumulate(const Real* psi, u64 groups, double* ends, u64 stride) {
  double running[kLanes<Real>] = {};
  for (u64 i = 0; i < groups; ++i) {
    const Real* re = psi + i * (2 * kLanes<Real>);
    for (int l = 0; l < kLanes<Real>; ++l) {
      const double x = static_cast<double>(re[l]), y = static_cast<double>(re[kLanes<Real> + l]);
      running[l] += x * x + y * y;
    }
    for (int l = 0; l < kLanes<Real>; ++l) ends[static_cast<u64>(l) * stride + i] = running[l];
  }
}

inline double total(const Half<double>& h) {
  double sum = 0;
  for (int k = 0; k < Lanes<double>::count; ++k)
    for (int l = 0; l < Lanes<double>::width; ++l) sum += h.r[k][l];
  return sum;
}

inline void weigh(const double* counts, const double* values, u64 size, double about, double* sum, double* squares) {
  Half<double> s = zero_half<double>(), q = zero_half<double>();
  const Half<double> zero = broadcast(about);
  u64 i = 0;
  for (; i + kLanes<double> <= size; i += kLanes<double>) {
    const Half<double> c = load_half(counts + i), v = load_half(values + i);
    for (int k = 0; k < Lanes<double>::count; ++k) {
      const Reg<double> d = v.r[k] - zero.r[k], w = c.r[k] * d;
      s.r[k] += w;
      q.r[k] += w * d;
    }
  }
  double rest = 0, rest_squares = 0;
  for (; i < size; ++i) {
    const double d = values[i] - about;
    rest += counts[i] * d;
    rest_squares += counts[i] * d * d;
  }
  *sum = total(s) + rest;
  *squares = total(q) + rest_squares;
}

}  // namespace
}  // namespace ketgrad
