// Metropolis sweeps over spins in lanes: reads side by side, or the slices of paths.
//
// Random words are Threefry-2x32-13 of (spin, sweep) under a key of each read: J. K. Salmon, M. A. Moraes, R. O. Dror,
// D. E. Shaw, SC11, 10.1145/2063384.2063405. A word depends on nothing else, so neither do spins.
#pragma once

#include "anneal_kernels.hpp"
#include "lanes.inc.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace ketgrad {
namespace {

using u32 = std::uint32_t;
using i32 = std::int32_t;

typedef std::uint8_t Bytes __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
typedef std::int8_t SignedBytes __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
typedef u32 Words __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
typedef i32 Ints __attribute__((vector_size(KETGRAD_VECTOR_BYTES)));
typedef Reg<float> Floats;

constexpr int kRegisters = 64 / KETGRAD_VECTOR_BYTES;  // of 64 bytes of lanes
constexpr int kWords = KETGRAD_VECTOR_BYTES / 4;       // of a register

#define KETGRAD_INLINE inline __attribute__((always_inline))

template <typename V>
KETGRAD_INLINE V load_as(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <typename V>
KETGRAD_INLINE void store_as(void* p, V v) {
  std::memcpy(p, &v, sizeof v);
}

// A product as it is rounded: without this the compiler may fuse it with a sum, where the processor can.
KETGRAD_INLINE Floats rounded(Floats v) {
#if defined(__AVX512F__) || (defined(__x86_64__) && KETGRAD_VECTOR_BYTES <= 32)
  asm("" : "+x"(v));
#elif defined(__aarch64__) && KETGRAD_VECTOR_BYTES == 16
  asm("" : "+w"(v));
#else
  asm("" : "+m"(v));
#endif
  return v;
}

// table[index], and 0 where an index is above 127.
KETGRAD_INLINE Bytes look_up(const std::uint8_t* table, Bytes index) {
#if defined(__AVX512BW__) && KETGRAD_VECTOR_BYTES == 64
  const __m128i entries = _mm_load_si128((const __m128i*)table);
  return (Bytes)_mm512_shuffle_epi8(_mm512_maskz_broadcast_i32x4(0xffff, entries), (__m512i)index);
#elif defined(__AVX2__) && KETGRAD_VECTOR_BYTES == 32
  return (Bytes)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128((const __m128i*)table)), (__m256i)index);
#elif defined(__SSSE3__) && KETGRAD_VECTOR_BYTES == 16
  return (Bytes)_mm_shuffle_epi8(_mm_load_si128((const __m128i*)table), (__m128i)index);
#elif defined(__aarch64__) && KETGRAD_VECTOR_BYTES == 16
  return (Bytes)vqtbl1q_u8(vld1q_u8(table), (uint8x16_t)index);
#else
  Bytes out{};
  for (int l = 0; l < KETGRAD_VECTOR_BYTES; ++l) out[l] = index[l] > 127 ? 0 : table[index[l] & 15];
  return out;
#endif
}

// Whether no lane is set.
KETGRAD_INLINE bool none(Ints mask) {
#if defined(__AVX512F__) && KETGRAD_VECTOR_BYTES == 64
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) == 0;
#elif defined(__AVX2__) && KETGRAD_VECTOR_BYTES == 32
  return _mm256_testz_si256((__m256i)mask, (__m256i)mask) != 0;
#elif defined(__SSE4_1__) && KETGRAD_VECTOR_BYTES == 16
  return _mm_testz_si128((__m128i)mask, (__m128i)mask) != 0;
#else
  u64 parts[KETGRAD_VECTOR_BYTES / 8], any = 0;
  std::memcpy(parts, &mask, sizeof mask);
  for (const u64 part : parts) any |= part;
  return any == 0;
#endif
}

struct Random {
  Words a, b;
};

template <int kBy>
KETGRAD_INLINE void stir(Random& r) {
  r.a += r.b;
  r.b = (r.b << kBy | r.b >> (32 - kBy)) ^ r.a;
}

// keys: the first words of the lanes; `apart` words further their second ones.
KETGRAD_INLINE Random random_words(const u32* keys, u64 apart, u32 counter, u32 sweep) {
  const Words k0 = load_as<Words>(keys), k1 = load_as<Words>(keys + apart), k2 = k0 ^ k1 ^ 0x1BD11BDAu;
  Random r{k0 + counter, k1 + sweep};
  stir<13>(r), stir<15>(r), stir<26>(r), stir<6>(r);
  r.a += k1, r.b += k2 + 1u;
  stir<17>(r), stir<29>(r), stir<16>(r), stir<24>(r);
  r.a += k2, r.b += k0 + 2u;
  stir<13>(r), stir<15>(r), stir<26>(r), stir<6>(r);
  r.a += k0, r.b += k1 + 3u;
  stir<17>(r);
  return r;
}

// -log of (odd integers below 2^31) / 2^31, to 3e-7.
KETGRAD_INLINE Floats minus_log(Words word) {
  const Ints bits = (Ints) __builtin_convertvector((Ints)(word >> 1 | 1u), Floats);
  const Floats t = (Floats)((bits & 0x7fffff) | 0x3f800000) - 1.0f;
  Floats p = rounded(0.010764511302113533f * t) - 0.05514519289135933f;
  p = rounded(p * t) + 0.134674534201622f;
  p = rounded(p * t) - 0.22589801251888275f;
  p = rounded(p * t) + 0.3282422125339508f;
  p = rounded(p * t) - 0.4994717836380005f;
  p = rounded(p * t) + 0.999981164932251f;
  return rounded(__builtin_convertvector(158 - (bits >> 23), Floats) * 0.6931471805599453f) - rounded(p * t);
}

// What a change of these lanes adds to a field: 2 J s where `flip` holds, with s as it was.
template <typename V>
KETGRAD_INLINE V change(V twice, V sign, V flip) {
  return ((twice ^ sign) & flip) - (sign & flip);
}

// Lanes that turn over: those that gain, and others with the probability that the tables give.
KETGRAD_INLINE Bytes turned(Bytes cost, const Thresholds& t, const u32* keys, u32 spin, u32 sweep) {
  Bytes limit[2] = {}, index[kThresholdTables];
  for (int j = 0; j < t.tables; ++j) {
    const Bytes at = cost - static_cast<std::uint8_t>(kTableLevels * j);
    index[j] = at | (Bytes)(at > kTableLevels - 1);
    for (int k = 0; k < 2; ++k) limit[k] |= look_up(t.bytes[k][j], index[j]);
  }
  Random r = random_words(keys, kNarrowLanes / kReadsPerKey, spin, sweep);
  const Bytes gains = (Bytes)((SignedBytes)cost <= 0), equal = (Bytes)((Bytes)r.a == limit[0]);
  Bytes below = (Bytes)((Bytes)r.a < limit[0]) | (equal & (Bytes)((Bytes)r.b < limit[1]));
  const Bytes tie = equal & (Bytes)((Bytes)r.b == limit[1]) & ~gains;
  if (__builtin_expect(!none((Ints)tie), 0)) {  // two bytes decide but for one lane in 65536
    limit[0] = limit[1] = Bytes{};
    for (int j = 0; j < t.tables; ++j)
      for (int k = 0; k < 2; ++k) limit[k] |= look_up(t.bytes[2 + k][j], index[j]);
    r = random_words(keys, kNarrowLanes / kReadsPerKey, spin | 0x80000000u, sweep);
    below |=
        tie & ((Bytes)((Bytes)r.a < limit[0]) | ((Bytes)((Bytes)r.a == limit[0]) & (Bytes)((Bytes)r.b < limit[1])));
  }
  return gains | below;
}

void narrow_sweep(const NarrowGraph& g, const Thresholds& t, const u32* keys, u32 sweep, std::int8_t* fields,
                  std::int8_t* signs) {
  u32 e = 0;
  for (u32 i = 0; i < g.n; ++i) {
    std::int8_t *f = fields + u64{i} * kNarrowLanes, *s = signs + u64{i} * kNarrowLanes;
    Bytes sign[kRegisters], flip[kRegisters], any{};
    for (int r = 0; r < kRegisters; ++r) {
      sign[r] = load_as<Bytes>(s + r * KETGRAD_VECTOR_BYTES);
      const Bytes cost = (load_as<Bytes>(f + r * KETGRAD_VECTOR_BYTES) ^ sign[r]) - sign[r];
      flip[r] = turned(cost, t, keys + r * kWords, i, sweep);
      store_as(s + r * KETGRAD_VECTOR_BYTES, sign[r] ^ flip[r]);
      any |= flip[r];
    }
    const CouplingRun *run = g.runs + g.run_starts[i], *end = g.runs + g.run_starts[i + 1];
    if (none((Ints)any)) {
      if (run != end) e = end[-1].end;
      continue;
    }
    for (; run != end; ++run) {
      Bytes delta[kRegisters];
      for (int r = 0; r < kRegisters; ++r)
        delta[r] = change(Bytes{} + static_cast<std::uint8_t>(run->twice), sign[r], flip[r]);
      for (; e < run->end; ++e) {
        std::int8_t* to = fields + u64{g.neighbours[e]} * kNarrowLanes;
        for (int r = 0; r < kRegisters; ++r)
          store_as(to + r * KETGRAD_VECTOR_BYTES, load_as<Bytes>(to + r * KETGRAD_VECTOR_BYTES) + delta[r]);
      }
    }
  }
}

// Adds what a change of 16 lanes of spin i means for its neighbours; `fields` are those lanes of spin 0.
KETGRAD_INLINE void tell_neighbours(const WideGraph& g, u32 i, u64 stride, const Ints (&sign)[kRegisters],
                                    const Ints (&flip)[kRegisters], i32* fields) {
  for (u32 e = g.starts[i]; e < g.starts[i + 1]; ++e) {
    i32* to = fields + g.neighbours[e] * stride;
    for (int r = 0; r < kRegisters; ++r)  // of words, which may overflow in lanes that nobody reads
      store_as(to + r * kWords, load_as<Words>(to + r * kWords) +
                                    change(Words{} + static_cast<u32>(g.twice[e]), (Words)sign[r], (Words)flip[r]));
  }
}

// s g: what turning over costs.
KETGRAD_INLINE Ints cost_of(const i32* field, Ints sign) {
  return (Ints)((load_as<Words>(field) ^ (Words)sign) - (Words)sign);
}

template <bool kPaths>
KETGRAD_INLINE void wide_loop(const WideGraph& g, const WideLayout& at, const WideStep& step, const u32* keys,
                              u32 sweep, u32* spare, i32* fields, i32* signs) {
  for (u32 i = 0; i < g.n; ++i) {
    i32 *f = fields + u64{i} * at.field_stride + at.field_at, *s = signs + u64{i} * at.sign_stride;
    bool changed = false;
    for (u32 lane = 0; lane < at.lanes; lane += kWideLanes) {
      Ints sign[kRegisters], flip[kRegisters], any{};
      for (int r = 0; r < kRegisters; ++r) {
        const u32 l = lane + static_cast<u32>(r * kWords);
        sign[r] = load_as<Ints>(s + at.sign_at + l);
        Floats cost = __builtin_convertvector(cost_of(f + l, sign[r]), Floats) * step.rate;
        if constexpr (kPaths) {
          const Ints bonds = 1 + (sign[r] ^ load_as<Ints>(s + at.near + l)) + (sign[r] ^ load_as<Ints>(s + at.far + l));
          cost = rounded(cost) + rounded(__builtin_convertvector(bonds, Floats) * step.bond);
        }
        Words word;
        if (i & 1) {  // two spins share the words of one call
          word = load_as<Words>(spare + l);
        } else {
          const Random random = random_words(keys + l, at.lanes, i >> 1, sweep);
          word = random.a;
          store_as(spare + l, random.b);
        }
        flip[r] = (Ints)(cost <= minus_log(word));
        store_as(s + at.sign_at + l, sign[r] ^ flip[r]);
        any |= flip[r];
      }
      if (none(any)) continue;
      changed = true;
      tell_neighbours(g, i, at.field_stride, sign, flip, fields + at.field_at + lane);
    }
    if (kPaths && changed)
      for (u32 l = 0; l < at.pad; ++l) s[at.pad_to + l] = s[at.pad_from + l];
  }
}

void wide_sweep(const WideGraph& g, const WideStep& step, const u32* keys, u32 sweep, i32* fields, i32* signs) {
  u32 spare[kWideLanes] = {};
  const WideLayout at{kWideLanes, kWideLanes, kWideLanes, 0, 0, 0, 0, 0, 0, 0};
  wide_loop<false>(g, at, step, keys, sweep, spare, fields, signs);
}

void slice_sweep(const WideGraph& g, const WideLayout& at, const WideStep& step, const u32* keys, u32 sweep, u32* spare,
                 i32* fields, i32* signs) {
  wide_loop<true>(g, at, step, keys, sweep, spare, fields, signs);
}

void line_sweep(const WideGraph& g, const LineLayout& at, const WideStep& step, const u32* keys, u32 sweep, i32* fields,
                i32* signs) {
  const LaneXor<float> swaps[4] = {LaneXor<float>(8), LaneXor<float>(4), LaneXor<float>(2), LaneXor<float>(1)};
  alignas(64) float total[kWideLanes];
  for (u32 i = 0; i < g.n; ++i) {
    i32* s = signs + u64{i} * at.halves[0].sign_stride;
    const i32* f = fields + u64{i} * at.halves[0].field_stride;
    Ints sum[kRegisters] = {}, flip[kRegisters], any{};
    for (const WideLayout& half : at.halves)
      for (u32 lane = 0; lane < half.lanes; lane += kWideLanes)
        for (int r = 0; r < kRegisters; ++r) {
          const u32 l = lane + static_cast<u32>(r * kWords);
          const Ints sign = load_as<Ints>(s + half.sign_at + l);
          sum[r] = (Ints)((Words)sum[r] + (Words)cost_of(f + half.field_at + l, sign));
        }
    for (u32 k = 0; k < 4 && 8u >> k >= at.reads; ++k) {  // lanes of the same read together
      for (int r = 0; r < kRegisters; ++r) store_as(total + r * kWords, sum[r]);
      const Half<float> other = swaps[k].load_from(total);
      for (int r = 0; r < kRegisters; ++r) sum[r] = (Ints)((Words)sum[r] + (Words)other.r[r]);
    }
    for (int r = 0; r < kRegisters; ++r) {
      const Random random = random_words(keys + r * kWords, kWideLanes, i, sweep);
      flip[r] = (Ints)(__builtin_convertvector(sum[r], Floats) * step.rate <= minus_log(random.a));
      any |= flip[r];
    }
    if (none(any)) continue;
    for (const WideLayout& half : at.halves) {
      for (u32 lane = 0; lane < half.lanes; lane += kWideLanes) {
        Ints sign[kRegisters];
        for (int r = 0; r < kRegisters; ++r) {
          i32* to = s + half.sign_at + lane + r * kWords;
          sign[r] = load_as<Ints>(to);
          store_as(to, sign[r] ^ flip[r]);
        }
        tell_neighbours(g, i, half.field_stride, sign, flip, fields + half.field_at + lane);
      }
      for (u32 l = 0; l < half.pad; ++l) s[half.pad_to + l] = s[half.pad_from + l];
    }
  }
}

constexpr AnnealTable anneal_table() { return {narrow_sweep, wide_sweep, slice_sweep, line_sweep}; }

}  // namespace
}  // namespace ketgrad
