// Sums of a few states with a weight for each lane, and the cumulative probabilities of the states in the lanes.
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

}  // namespace
}  // namespace ketgrad
