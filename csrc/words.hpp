// A program rewritten as turns and phases about Pauli words, with the permutations left out.
//
// X, CNOT and SWAP only relabel basis states, so they are not done: the rewriter keeps the relabelling, physical index
// = A * logical index ^ c over GF(2), and expresses every later word in physical indices. Whatever flips bits becomes a
// real rotation (odd number of Ys), between phases where it has none; what is diagonal becomes phases; and several
// rotations of one qubit become Z(gamma) Y(beta) Z(alpha). What is neither (matrices, tables, rotations under controls)
// stays a gate, for which the relabelling of its bits is done after all.
#pragma once

#include <cstdint>
#include <vector>

#include "compiled.hpp"
#include "ops.hpp"
#include "rotations.hpp"

namespace ketgrad {

// An angle is constant + factor * (angle of an instruction), or one of the three angles of a group.
struct Angle {
  int instruction = -1, group = -1, part = 0;
  double factor = 0, constant = 0;
};

// Instructions on one qubit that act as one rotation.
struct Group {
  std::vector<int> members;
  double sign;  // of Y and Z in physical words
  bool trained = false;
};

struct Words {
  std::vector<Op> ops;
  std::vector<Op> head;  // moves that put a state in logical order into that in which the ops begin
  std::vector<Op> tail;  // moves that put the state into logical order
  std::vector<Angle> angles;
  std::vector<Group> groups;
  std::vector<Term> terms;  // the observables, in physical words
  std::vector<double> term_signs;

  Words() = default;

  // Without bits among the lanes these are samples: an angle of theirs joins no group, and from `spread_from` on a bit
  // takes a low one along, where no instruction stays a gate.
  Words(const Source& source, int lane_bits, int spread_from);

  // The angles of ops for the angles of instructions.
  std::vector<double> evaluate(const Source& source, const std::vector<double>& of_instruction) const;
  // A group's gradient is measured along x, y, z (physical words, after its turn): what each of its members takes of
  // the three.
  std::vector<std::array<double, 3>> shares(const Source& source, const std::vector<double>& of_instruction,
                                            int group) const;
};

}  // namespace ketgrad
