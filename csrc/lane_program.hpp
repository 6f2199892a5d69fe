// A program for a tile of states, one in each lane, whose angles may differ from lane to lane.
//
// Gates of one qubit that follow each other are one op, a 2x2 matrix for each lane, and two such ops are one pass over
// the tile; so are instructions that only move amplitudes. Any other instruction is an op by itself, run by the kernels
// of lanes mode. An op's *numbers* are what it takes from its angles: the entries of the
// matrix, a cosine and a sine, or a phase for each distinct value of a diagonal.
#pragma once

#include <vector>

#include "compiled.hpp"
#include "parallel.hpp"

namespace ketgrad {

template <typename Real>
class LaneProgram {
 public:
  static constexpr int lanes = kLanes<Real>;
  static constexpr u64 group = 2 * lanes;  // reals

  // Op `op` with the angle of one instruction moved, in one lane.
  struct Shifted {
    std::size_t op;
    int lane;
    std::size_t instruction;
    double shift;
  };

  // Slots of the sample in each lane.
  struct Slots {
    const double* shared;
    const double* per_sample[lanes];
  };

  // What the kernels read of an op: a matrix, a rotor or phases.
  struct Numbers {
    union {
      MixOp<Real> mix;
      Rotor<Real> rotor;
    };
    std::vector<Real> phases;
    bool per_lane = false;  // whether there are phases for each lane
  };

  explicit LaneProgram(const Source& source);

  const Compiled<Real>& compiled() const { return compiled_; }
  std::size_t size() const { return ops_.size(); }
  std::size_t op_of(std::size_t instruction) const { return op_of_[instruction]; }
  std::size_t state_bytes() const { return compiled_.layout.groups * group * sizeof(Real); }

  // The numbers of all ops; those of ops without a per-sample slot once for all lanes. `distinct`: lane l has the slots
  // of lane l % distinct.
  std::vector<Numbers> bind(const Slots& slots, int distinct) const;

  // |0..0>, or what the program prepares, in every lane.
  void start(Real* psi) const;

  // Ops first .. last - 1; `moved`, ascending by op, are those angles that differ from the bound ones.
  void run(std::size_t first, std::size_t last, const std::vector<Numbers>& bound, const Slots& slots,
           const std::vector<Shifted>& moved, const KernelTable<Real>& kernels, Real* psi, Watch& watch) const;

 private:
  struct Op {
    Kind kind;
    std::size_t operand;               // of the compiled step; of a merged op, the place in mixes_ or cycles_
    std::vector<std::size_t> members;  // instructions, in order
    bool merged = false;
    bool angled = false;  // has numbers
    bool varies = false;  // has a per-sample slot
  };

  int single_bit(const Instruction& in) const;
  void merge();
  void close(std::vector<std::size_t>& run);
  MixOp<Real> matrices(const std::vector<std::size_t>& run) const;
  std::vector<std::uint32_t> cycles(const std::vector<std::size_t>& run) const;
  double angle(std::size_t instruction, const Slots& slots, int lane) const;
  // Writes the numbers of one lane to all lanes l with l % period == lane.
  void set(const Op& op, const Slots& slots, int lane, int period, const Shifted* from, const Shifted* to,
           Numbers& out) const;
  Numbers blank(const Op& op, bool per_lane) const;
  // The matrices of an op, if it has no other part.
  const MixOp<Real>* mix(std::size_t op, const Numbers& numbers) const;
  void apply(const Op& op, const Numbers& numbers, const KernelTable<Real>& kernels, Real* psi, Watch& watch) const;

  const Source& source_;
  Compiled<Real> compiled_;
  std::vector<Op> ops_;
  std::vector<std::size_t> op_of_;
  std::vector<MixOp<Real>> mixes_;                  // of merged ops, without their entries
  std::vector<std::vector<std::uint32_t>> cycles_;  // of merged moves
};

extern template class LaneProgram<float>;
extern template class LaneProgram<double>;

}  // namespace ketgrad
