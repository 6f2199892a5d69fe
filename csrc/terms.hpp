// The terms of a program made ready for the kernels of observables, for one layout of states.
//
// Terms with one X mask want the same products conj(psi_i) psi_{i ^ x} with different signs. Signs of group bits are
// those of Z masks, which many terms may share; signs of lanes are multiplied in at the end. Words with an even number
// of Ys want the real parts, the others the imaginary parts.
#pragma once

#include <vector>

#include "instruction.hpp"
#include "kernels.hpp"
#include "layout.hpp"

namespace ketgrad {

template <typename Real>
struct Terms {
  // A term reads the sums at `place`, with the signs of its lanes (0 where a pattern among them does not hold).
  struct Row {
    Real lane[kLanes<Real>];
    double value;  // sign of the word, times 2 where half of the blocks stand for all
    Real factor;   // sign of the word as an operator
    int place;
    int term;  // its index in the program
  };

  std::vector<Row> rows;                // in the order of groups
  std::vector<TermGroup<Real>> groups;  // ascending X masks
  std::vector<int> first_row;           // of each group, and the end
  std::vector<int> first_place;
  std::uint64_t tile = 1;  // groups of a state between two looks at the next X mask, a multiple of every block

  Terms(const std::vector<Term>& terms, const Layout& layout);
  Terms(const Terms&) = delete;
  Terms& operator=(const Terms&) = delete;

 private:
  std::vector<std::vector<std::uint64_t>> masks_;
  std::vector<std::vector<PatternTerm>> patterns_;
};

extern template struct Terms<float>;
extern template struct Terms<double>;

}  // namespace ketgrad
