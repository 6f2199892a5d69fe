// The machine data of a program: the same words as python/ketgrad/program.py, held together by a test.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ketgrad {

inline constexpr int kMaxBits = 62;
inline constexpr int kMaxDenseBits = 12;
inline constexpr int kMaxKrausBits = 6;
inline constexpr int kMaxTableBits = 30;

enum class Opcode : std::uint8_t {
  Prepare = 0,
  Phase = 1,
  Pauli = 2,
  PauliRot = 3,
  PairRot = 4,
  Swap = 5,
  Diag = 6,
  ExpDiag = 7,
  Dense = 8,
  Kraus = 9,
};

struct Instruction {
  std::uint64_t x_mask;
  std::uint64_t z_mask;
  std::uint64_t ctrl_mask;
  std::uint64_t ctrl_value;
  double scale;
  double offset;
  std::int32_t slot;
  std::int32_t payload;
  std::uint8_t opcode;
  std::uint8_t k;
  std::uint8_t t0;
  std::uint8_t t1;
  std::uint32_t pad;
};
static_assert(sizeof(Instruction) == 64);

struct Term {
  std::uint64_t x_mask;
  std::uint64_t z_mask;
  std::uint64_t ctrl_mask;
  std::uint64_t ctrl_value;
};
static_assert(sizeof(Term) == 32);

}  // namespace ketgrad
