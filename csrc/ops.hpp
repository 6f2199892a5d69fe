// The ops that a large circuit is rewritten into, and which of them commute.
#pragma once

#include <cstdint>

#include "instruction.hpp"

namespace ketgrad {

// How a gate acts on the bits of an index: flips them, looks at them, or mixes them in any way.
struct Footprint {
  std::uint64_t flips = 0, looks = 0, mixes = 0;
  std::uint64_t bits() const { return flips | looks | mixes; }
  std::uint64_t moved() const { return flips | mixes; }
};

Footprint footprint_of(const Instruction& instruction);

// Turn: a[i] -> cos(t/2) a[i] - sin(t/2) s(i) a[i ^ flips], s(i) = (-1)^|i & signs|, |flips & signs| odd: exp(-i t W/2)
// of the word W = i X^flips Z^signs. Phase: a[i] -> exp(-i s(i) t/2) a[i]. Move: i -> i ^ flips where |i & signs| is
// odd, or even if `even`. Gate: an instruction by its kernel.
enum class OpKind : std::uint8_t { Turn, Phase, Move, Gate };

struct Op {
  OpKind kind = OpKind::Gate;
  std::uint64_t flips = 0, signs = 0;
  bool even = false;
  bool full = false;    // a turn whose gradient is measured along three axes: it may not pass what any of them does not
  bool varies = false;  // its angle is one for each lane
  bool fence = false;   // a gate that may have no inverse: nothing passes it, for what is measured behind it cannot be
                        // measured before
  int angle = -1;       // of a turn or phase: index into Words::angles
  int gate = -1;        // index of the instruction
  Footprint footprint{};

  explicit Op(OpKind of) : kind(of) {}
};

bool commute(const Op& a, const Op& b);

}  // namespace ketgrad
