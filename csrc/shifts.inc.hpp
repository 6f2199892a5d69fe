// Sums of a few states with a weight for each lane, the cumulative probabilities of the states in the lanes, and
// moments of what was drawn from them.
#pragma once

#include "lanes.inc.hpp"

namespace ketgrad {
namespace {

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
