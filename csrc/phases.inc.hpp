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

// One register of the lanes of a phase_table, by the same doubling.
template <typename Real>
void lane_phases(Real* table, u64 groups, const LanePhase<Real>* factors, int count, int at) {
  constexpr u64 group = 2 * kLanes<Real>;
  auto times = [](Reg<Real>& a, Reg<Real>& b, const Reg<Real>& c, const Reg<Real>& s) {
    const Reg<Real> x = a * c - b * s;
    b = a * s + b * c;
    a = x;
  };
  Reg<Real> re = Reg<Real>{} + Real(1), im{};
  for (int f = 0; f < count; ++f)
    if (!factors[f].mask) times(re, im, load(factors[f].c + at), -load(factors[f].s + at));
  store(table + at, re);
  store(table + at + kLanes<Real>, im);
  for (u64 half = 1; half < groups; half <<= 1) {
    Reg<Real> low[2] = {Reg<Real>{} + Real(1), {}}, high[2] = {Reg<Real>{} + Real(1), {}};
    for (int f = 0; f < count; ++f)
      if (factors[f].mask == half) {
        times(low[0], low[1], load(factors[f].c + at), -load(factors[f].s + at));
        times(high[0], high[1], load(factors[f].c + at), load(factors[f].s + at));
      }
    for (u64 i = 0; i < half; ++i) {
      Real* p = table + i * group + at;
      Real* q = p + half * group;
      Reg<Real> x = load(p), y = load(p + kLanes<Real>), u = x, w = y;
      times(x, y, low[0], low[1]);
      times(u, w, high[0], high[1]);
      store(p, x);
      store(p + kLanes<Real>, y);
      store(q, u);
      store(q + kLanes<Real>, w);
    }
    for (int f = 0; f < count; ++f) {
      const u64 mask = factors[f].mask;
      if (mask == half || !(mask & half) || mask >= half << 1) continue;
      const Reg<Real> c = load(factors[f].c + at), s = load(factors[f].s + at);
      for (u64 i = 0; i < half << 1; ++i) {
        Real* p = table + i * group + at;
        Reg<Real> x = load(p), y = load(p + kLanes<Real>);
        times(x, y, c, parity(i & mask) ? s : -s);
        store(p, x);
        store(p + kLanes<Real>, y);
      }
    }
  }
}

template <typename Real>
void lane_phase_table(Real* table, u64 groups, const LanePhase<Real>* factors, int count) {
  for (int k = 0; k < Lanes<Real>::count; ++k) lane_phases(table, groups, factors, count, k * Lanes<Real>::width);
  for (u64 i = 0; i < groups; ++i) {
    Real* p = table + i * (2 * kLanes<Real>);
    normalise(p, p + kLanes<Real>, kLanes<Real>);
  }
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
  if (layer.by_lane) {
    const Real* p = layer.by_lane + i * (2 * kLanes<Real>)+static_cast<u64>(at);
    const Reg<Real> c = load(p), s = load(p + kLanes<Real>);
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
