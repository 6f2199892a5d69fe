// The kernels' vocabulary: registers, half groups, lane permutations, and the enumeration of group indices.
// Included once per instruction set by kernels.inc.hpp, after KETGRAD_VECTOR_BYTES is set.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels.hpp"

namespace ketgrad {
namespace {

using u64 = std::uint64_t;

template <typename Real>
struct Lanes {
  static constexpr int width = KETGRAD_VECTOR_BYTES / static_cast<int>(sizeof(Real));  // lanes of one register
  static constexpr int count = kLanes<Real> / width;                                   // registers of 64 bytes
  typedef Real Reg __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
};

template <typename Real>
using Reg = typename Lanes<Real>::Reg;

template <typename Real>
inline __attribute__((always_inline)) Reg<Real> load(const Real* p) {
  Reg<Real> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <typename Real>
inline __attribute__((always_inline)) void store(Real* p, Reg<Real> v) {
  std::memcpy(p, &v, sizeof v);
}

// Half a group: 64 bytes as registers.
template <typename Real>
struct Half {
  Reg<Real> r[Lanes<Real>::count];
};

template <typename Real>
inline __attribute__((always_inline)) Half<Real> load_half(const Real* p) {
  Half<Real> h;
  for (int k = 0; k < Lanes<Real>::count; ++k) h.r[k] = load(p + k * Lanes<Real>::width);
  return h;
}

template <typename Real>
inline __attribute__((always_inline)) void store_half(Real* p, const Half<Real>& h) {
  for (int k = 0; k < Lanes<Real>::count; ++k) store(p + k * Lanes<Real>::width, h.r[k]);
}

template <typename Real>
inline Half<Real> zero_half() {
  Half<Real> h;
  for (int k = 0; k < Lanes<Real>::count; ++k) h.r[k] = Reg<Real>{};
  return h;
}

template <typename Real>
inline __attribute__((always_inline)) Half<Real> broadcast(Real value) {
  Half<Real> h;
  for (int k = 0; k < Lanes<Real>::count; ++k) h.r[k] = Reg<Real>{} + value;
  return h;
}

// Lane permutation l -> l ^ x of a half group in memory: the high bits of x choose the register to load, the low bits
// permute it. One shuffle of bytes (16-byte registers) or of 32-bit words (wider ones), whatever the lanes are.
template <typename Real>
struct LaneXor {
  typedef std::conditional_t<KETGRAD_VECTOR_BYTES == 16, std::int8_t, std::int32_t> Unit;
  typedef Unit Units __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
  static constexpr int per_lane = static_cast<int>(sizeof(Real) / sizeof(Unit));
  Units index;
  int register_xor;

  explicit LaneXor(int x) {
    for (int u = 0; u < KETGRAD_VECTOR_BYTES / static_cast<int>(sizeof(Unit)); ++u)
      index[u] = static_cast<Unit>((u / per_lane ^ (x & (Lanes<Real>::width - 1))) * per_lane + u % per_lane);
    register_xor = x / Lanes<Real>::width;
  }

  inline __attribute__((always_inline)) Half<Real> load_from(const Real* p) const {
    Half<Real> out;
    for (int k = 0; k < Lanes<Real>::count; ++k) {
      const Reg<Real> v = load(p + (k ^ register_xor) * Lanes<Real>::width);
#if defined(__clang__)
      Units units, moved;
      std::memcpy(&units, &v, sizeof v);
      for (int u = 0; u < KETGRAD_VECTOR_BYTES / static_cast<int>(sizeof(Unit)); ++u) moved[u] = units[index[u]];
      std::memcpy(&out.r[k], &moved, sizeof v);
#else
      out.r[k] = (Reg<Real>)__builtin_shuffle((Units)v, index);
#endif
    }
    return out;
  }
};

inline bool parity(u64 bits) { return __builtin_popcountll(bits) & 1; }

// Enumerates an index map: item t -> t with a 0 inserted at each fixed bit, then the value or-ed in.
struct Items {
  u64 low[kMaxBits];  // ones below the f-th fixed bit, ascending
  static constexpr u64 kShortRun = 16;
  u64 fixed, value;
  u64 run;  // items that are contiguous in memory, a power of two
  int n_fixed = 0;

  explicit Items(const IndexMap& map) : fixed(map.fixed), value(map.value) {
    for (u64 left = map.fixed; left; left &= left - 1) low[n_fixed++] = (left & -left) - 1;
    run = n_fixed ? low[0] + 1 : u64{1} << kMaxBits;
  }

  u64 expand(u64 t) const {
    for (int f = 0; f < n_fixed; ++f) t = ((t & ~low[f]) << 1) | (t & low[f]);
    return t | value;
  }

  // body(i) for every item of [begin, end): contiguous runs, so that the index costs nothing inside.
  template <typename Body>
  inline __attribute__((always_inline)) void each(u64 begin, u64 end, Body body) const {
    if (run <
        kShortRun) {  // the carry of an addition skips the fixed bits: cheaper than starting a run every few items
      for (u64 i = expand(begin); begin < end; ++begin, i = (((i | fixed) + 1) & ~fixed) | value) body(i);
      return;
    }
    while (begin < end) {
      const u64 left = run - (begin & (run - 1));
      const u64 stop = begin + (left < end - begin ? left : end - begin);
      u64 i = expand(begin);
      for (; begin < stop; ++begin, ++i) body(i);
    }
  }
};

template <typename Real>
struct Amplitude {
  Half<Real> re, im;
};

template <typename Real>
inline __attribute__((always_inline)) Amplitude<Real> load_group(const Real* psi, u64 i) {
  const Real* p = psi + i * (2 * kLanes<Real>);
  return {load_half(p), load_half(p + kLanes<Real>)};
}

template <typename Real>
inline __attribute__((always_inline)) void store_group(Real* psi, u64 i, const Amplitude<Real>& a) {
  Real* p = psi + i * (2 * kLanes<Real>);
  store_half(p, a.re);
  store_half(p + kLanes<Real>, a.im);
}

// Group i with its lanes permuted; `plain` is the group as loaded. Call before the group is stored.
template <typename Real, bool kShuffle>
inline __attribute__((always_inline)) Amplitude<Real> partner(const Real* psi, u64 i, const Amplitude<Real>& plain,
                                                              const LaneXor<Real>& x) {
  if constexpr (kShuffle) {
    const Real* p = psi + i * (2 * kLanes<Real>);
    return {x.load_from(p), x.load_from(p + kLanes<Real>)};
  } else {
    return plain;
  }
}

}  // namespace
}  // namespace ketgrad
