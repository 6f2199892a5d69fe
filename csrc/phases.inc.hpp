// Kernels of layers of phases: any number of words of Zs in one multiplication, and all their gradients from one
// product.
#pragma once

#include "signs.inc.hpp"

namespace ketgrad {
namespace {

// Factors rounded to single precision are not of modulus 1, and all entries would miss it in the same direction: one
// step of Newton's for 1 / |table[i]|.
template <typename Real>
void normalise(Real* re, Real* im, u64 count) {
  for (u64 i = 0; i < count; ++i) {
    const Real scale = Real(1.5) - Real(0.5) * (re[i] * re[i] + im[i] * im[i]);
    re[i] *= scale;
    im[i] *= scale;
  }
}

// Doubling: the first half of table[0, 2 half) is there; a factor whose highest bit is `half` has either sign in the
// two halves, and its other bits give a sign that both share.
template <typename Real>
void phase_table(Real* table, u64 groups, const PhaseFactor* factors, int count) {
  Real* re = table;
  Real* im = table + groups;
  double start_re = 1, start_im = 0;
  auto times = [](double& a, double& b, double c, double s) {
    const double x = a * c - b * s;
    b = a * s + b * c;
    a = x;
  };
  for (int f = 0; f < count; ++f)
    if (!factors[f].mask) times(start_re, start_im, factors[f].c, -factors[f].s);
  re[0] = static_cast<Real>(start_re);
  im[0] = static_cast<Real>(start_im);
  for (u64 half = 1; half < groups; half <<= 1) {
    double start[4] = {1, 0, 1, 0};
    for (int f = 0; f < count; ++f)
      if (factors[f].mask == half) {
        times(start[0], start[1], factors[f].c, -factors[f].s);
        times(start[2], start[3], factors[f].c, factors[f].s);
      }
    const Real low_re = static_cast<Real>(start[0]), low_im = static_cast<Real>(start[1]);
    const Real high_re = static_cast<Real>(start[2]), high_im = static_cast<Real>(start[3]);
    for (u64 i = 0; i < half; ++i) {
      const Real x = re[i], y = im[i];
      re[i] = x * low_re - y * low_im;
      im[i] = x * low_im + y * low_re;
      re[half + i] = x * high_re - y * high_im;
      im[half + i] = x * high_im + y * high_re;
    }
    for (int f = 0; f < count; ++f) {
      const u64 mask = factors[f].mask;
      if (mask == half || !(mask & half) || mask >= half << 1) continue;
      const Real c = static_cast<Real>(factors[f].c), s = static_cast<Real>(factors[f].s);
      constexpr u64 width = static_cast<u64>(Lanes<Real>::width);
      if (half < width) {
        for (u64 i = 0; i < half; ++i) {
          const Real t = parity(i & mask) ? -s : s;
          const Real x = re[i], y = im[i], u = re[half + i], w = im[half + i];
          re[i] = x * c + y * t;
          im[i] = y * c - x * t;
          re[half + i] = u * c - w * t;
          im[half + i] = w * c + u * t;
        }
        continue;
      }
      Reg<Real> plus{};
      for (u64 l = 0; l < width; ++l) plus[l] = parity(l & mask) ? -s : s;
      for (u64 i = 0; i < half; i += width) {
        const Reg<Real> t = parity(i & mask & ~(width - 1)) ? -plus : plus;
        const Reg<Real> x = load(re + i), y = load(im + i), u = load(re + half + i), w = load(im + half + i);
        store(re + i, x * c + y * t);
        store(im + i, y * c - x * t);
        store(re + half + i, u * c - w * t);
        store(im + half + i, w * c + u * t);
      }
    }
  }
  normalise(re, im, groups);
}

template <typename Real>
inline __attribute__((always_inline)) void layer_at(const PhaseLayer<Real>& layer, u64 groups, u64 i, int k,
                                                    Reg<Real>& re, Reg<Real>& im) {
  const int at = k * Lanes<Real>::width;
  re = load(layer.lane_re + at);
  im = load(layer.lane_im + at);
  if (layer.table) {
    const Real c = layer.table[i], s = layer.table[groups + i];
    const Reg<Real> x = re * c - im * s;
    im = re * s + im * c;
    re = x;
  }
  for (int m = 0; m < layer.n_cross; ++m) {
    const Real c = layer.cross[m][i];
    const Reg<Real> s = load(layer.pattern[m] + at) * layer.cross[m][groups + i];
    const Reg<Real> x = re * c - im * s;
    im = re * s + im * c;
    re = x;
  }
}

template <typename Real>
void phases(Real* psi, const PhaseLayer<Real>& layer, u64 groups, u64 begin, u64 end) {
  for (u64 i = begin; i < end; ++i)
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      Real* p = psi + i * (2 * kLanes<Real>)+k * Lanes<Real>::width;
      Reg<Real> re, im;
      layer_at(layer, groups, i, k, re, im);
      const Reg<Real> a = load(p), b = load(p + kLanes<Real>);
      store(p, a * re - b * im);
      store(p + kLanes<Real>, a * im + b * re);
    }
}

template <typename Real>
void phases_reverse(Real* psi, Real* lambda, const PhaseLayer<Real>& layer, u64 groups, u64 begin, u64 end, Real* v) {
  for (u64 i = begin; i < end; ++i)
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      const u64 at = i * (2 * kLanes<Real>)+static_cast<u64>(k * Lanes<Real>::width);
      Reg<Real> re, im;
      layer_at(layer, groups, i, k, re, im);
      const Reg<Real> a = load(psi + at), b = load(psi + at + kLanes<Real>);
      const Reg<Real> l = load(lambda + at), m = load(lambda + at + kLanes<Real>);
      if (v) store(v + i * kLanes<Real> + static_cast<u64>(k * Lanes<Real>::width), l * b - m * a);
      store(psi + at, a * re + b * im);
      store(psi + at + kLanes<Real>, b * re - a * im);
      store(lambda + at, l * re + m * im);
      store(lambda + at + kLanes<Real>, m * re - l * im);
    }
}

template <typename Real>
void signed_sums(Real* v, u64 groups, const u64* masks, int count, double* sums) {
  fold(v, groups, masks, count, 0, sums);
}

}  // namespace
}  // namespace ketgrad
