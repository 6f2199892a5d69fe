// Lanes mode: a tile of samples, a lane each, goes through the plan of a circuit in one pass, its state in place.
//
// What all samples share is worked out once a call: the numbers of blocks, the tables of phases, and how the sums that
// a sweep back measures become gradients, which is linear. A tile adds the angles that its samples have for themselves.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "gate_runner.hpp"
#include "numbers.hpp"
#include "parallel.hpp"
#include "tile_plan.hpp"

namespace ketgrad {

// d/d slot += weight * sums[sum], lane by lane
struct Credit {
  int slot;
  std::size_t sum;
  double weight;
};

// The numbers of one direction; those of the `other`, which have to stay, have the tables.
template <typename Real>
struct LaneNumbers {
  PassNumbers<Real> pass;
  std::vector<LayerTables> tables;
  std::vector<PhaseLayer<Real>> layers;

  LaneNumbers(const TilePlan<Real>& plan, const KernelTable<Real>& kernels, const std::vector<HalfAngle>& halves,
              bool backwards, bool scaled, const LaneNumbers* other);
};

// What the tiles of one call share. A call back may start from what the call forward of the same angles worked out.
template <typename Real>
struct LaneCall {
  std::vector<double> of_instruction;  // angles
  std::vector<HalfAngle> halves;
  std::optional<LaneNumbers<Real>> forward, back;
  std::vector<Credit> shared, own;  // of the slots that samples share, and of those each has for itself
  std::shared_ptr<const LaneCall> before;

  LaneCall(const TilePlan<Real>& plan, const Source& source, const KernelTable<Real>& kernels, const double* shared,
           bool forwards, bool backwards, bool to_start, std::shared_ptr<const LaneCall> before);
};

// Where a sweep back adds d/d slot.
struct Gradients {
  double* by_lane;  // (slots, lanes), one lane in single mode; where there is a total, those of own slots only
  double* total;    // (shared slots), summed over the samples; null: they stay apart
};

template <typename Real>
class LaneSweep {
 public:
  LaneSweep(const TilePlan<Real>& plan, const LaneCall<Real>& call, const KernelTable<Real>& kernels,
            const GateRunner<Real>& gates, Watch& watch);

  // Values of the samples' own slots, (n_per_sample, lanes).
  void bind(const double* per_sample);

  // `sparse`: the state began as |0..0>.
  void forward(Real* psi, bool sparse);
  // Consumes psi; `count` lanes are samples. Leaves lambda at the start when `to_start`, else anywhere.
  void reverse(Real* psi, Real* lambda, const Gradients& out, u64 count, bool to_start, bool sparse);
  // From logical order of the basis to that in which a sweep begins, or back.
  void head(Real* state, bool inverse) { move(plan_.head, state, inverse); }
  // From that in which it ends to logical order, or back.
  void tail(Real* state, bool inverse) { move(plan_.tail, state, inverse); }

 private:
  using Pass = TilePass<Real>;

  void move(const std::vector<Pass>& passes, Real* state, bool inverse);
  void bind_numbers(const LaneNumbers<Real>& numbers);
  void apply(const Pass& pass, std::size_t stage, Real* psi, Way way, Part part, u64 live);
  void give(const Gradients& out, u64 count);
  void reverse_stage(std::size_t stage, Real* psi, Real* lambda, Part part, u64 live);
  const BlockAngles<Real>& angles(const Pass& pass, std::size_t block) const;
  const PhaseLayer<Real>& layer(const Pass& pass, std::size_t layer) const;

  const TilePlan<Real>& plan_;
  const LaneCall<Real>& call_;
  const KernelTable<Real>& kernels_;
  Watch& watch_;
  const LaneNumbers<Real>* numbers_ = nullptr;  // of the direction under way
  const GateRunner<Real> gates_;
  std::vector<double> own_, c_, s_;        // the plan's lane angles, and of their halves, (angles, lanes)
  std::vector<BlockAngles<Real>> blocks_;  // of the pass: those that vary
  std::vector<PhaseLayer<Real>> layers_;   // the same
  std::vector<LanePhase<Real>> factors_;
  std::vector<Buffer> by_lane_;
  Buffer sums_;  // of the way back, (sums, lanes)
  Buffer scratch_, product_;
};

extern template struct LaneCall<float>;
extern template struct LaneCall<double>;
extern template class LaneSweep<float>;
extern template class LaneSweep<double>;

}  // namespace ketgrad
