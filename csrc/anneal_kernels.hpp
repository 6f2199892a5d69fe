// What the drivers of annealing and their kernels agree on. Plain data only, as in kernels.hpp.
//
// Spins are sign masks, 0 for +1 and -1 for -1; fields are g_i = -(h_i + sum_j J_ij s_j) in whole units, so that
// turning spin i over costs 2 s_i g_i. All arithmetic on them is of integers, and that on floats rounds after every
// operation: the same spins come out of every instruction set, and of the Numba engine.
//
// Narrow models have fields of at most 127: 64 reads side by side as bytes. Wide ones have 16 lanes of 32 bits, which
// are reads, or slices of paths.
#pragma once

#include <cstdint>

namespace ketgrad {

inline constexpr int kNarrowLanes = 64;
inline constexpr int kWideLanes = 16;
inline constexpr int kReadsPerKey = 4;   // a narrow read takes a byte of each random word
inline constexpr int kTableLevels = 16;  // costs that one shuffle of bytes looks up
inline constexpr int kThresholdTables = 8;

// Neighbours of spin i with the same coupling are one run; `twice` is 2 J modulo 256.
struct CouplingRun {
  std::uint32_t end;  // of the neighbours, which start where the run before ends
  std::int32_t twice;
};

struct NarrowGraph {
  std::uint32_t n;
  const std::uint32_t* run_starts;  // (n + 1)
  const CouplingRun* runs;
  const std::uint32_t* neighbours;
};

struct WideGraph {
  std::uint32_t n;
  const std::uint32_t* starts;  // (n + 1)
  const std::uint32_t* neighbours;
  const std::int32_t* twice;  // 2 J
};

// exp(-2 beta k) in units of 2^-32 for costs k = 0 .. 16 tables - 1; byte 0 of an entry is the highest. What is beyond
// the tables is 0.
struct alignas(16) Thresholds {
  std::uint8_t bytes[4][kThresholdTables][kTableLevels];
  int tables;
};

// Where the lanes of a site are. `lanes`, a multiple of 16, are decided together; with `far` they have neighbours in
// imaginary time, which are lanes too.
struct WideLayout {
  std::uint32_t lanes;
  std::uint32_t field_stride, sign_stride;  // of a site
  std::uint32_t field_at, sign_at;          // of the lanes within it
  std::uint32_t near, far;                  // of the neighbours in time, among the signs
  std::uint32_t pad_from, pad_to, pad;      // what is copied after a change
};

struct WideStep {
  float rate;  // 2 beta units: what a unit of cost is in the exponent
  float bond;  // what breaking both bonds in time is
};

// A group of paths: the two halves of a site's lanes are its even and its odd slices.
struct LineLayout {
  std::uint32_t reads;  // side by side: 1, 2, 4, 8 or 16
  WideLayout halves[2];
};

struct AnnealTable {
  // One Metropolis sweep over all spins in turn. keys: two words for each quartet of reads (2 x 16).
  void (*narrow)(const NarrowGraph&, const Thresholds&, const std::uint32_t* keys, std::uint32_t sweep,
                 std::int8_t* fields, std::int8_t* signs);
  // The same on 16 reads. keys: two words for each lane (2 x 16).
  void (*wide)(const WideGraph&, const WideStep&, const std::uint32_t* keys, std::uint32_t sweep, std::int32_t* fields,
               std::int32_t* signs);
  // Over all spins of one half of the slices. keys: two words for each lane (2 x lanes); spare: a word for each lane.
  void (*slices)(const WideGraph&, const WideLayout&, const WideStep&, const std::uint32_t* keys, std::uint32_t sweep,
                 std::uint32_t* spare, std::int32_t* fields, std::int32_t* signs);
  // Over all spins, each in all its slices at once. keys: two words for each of 16 lanes, lane l read l % reads.
  void (*lines)(const WideGraph&, const LineLayout&, const WideStep&, const std::uint32_t* keys, std::uint32_t sweep,
                std::int32_t* fields, std::int32_t* signs);
};

}  // namespace ketgrad
