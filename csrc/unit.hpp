// One unit of a batch on its way through a compiled program: the sweep forward, the observables, the sweep back.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "compiled.hpp"
#include "engine.hpp"
#include "executor.hpp"
#include "lane_sweeps.hpp"
#include "sweeps.hpp"

namespace ketgrad {

// Cosines and sines of all steps whose angle is one number for the batch.
struct Trig {
  double c, s, angle;
};

// `only`: of the steps with a one; null: all.
std::vector<Trig> shared_trig(const std::vector<Step>& steps, const std::vector<bool>* only, const double* shared,
                              int n_shared);

template <typename Real>
class Unit {
 public:
  static constexpr int lanes = kLanes<Real>;
  static constexpr int group = 2 * lanes;  // reals

  // `tiles`: the plan whose `compiled` this is, or null to run gate by gate; in lanes mode with the numbers of the
  // call.
  Unit(const Source& source, const Compiled<Real>& compiled, const TilePlan<Real>* tiles, const LaneCall<Real>* call,
       const KernelTable<Real>& kernels, const std::vector<Trig>& trig, const Executor& executor)
      : source_(source),
        compiled_(compiled),
        tiles_(tiles),
        kernels_(kernels),
        trig_(trig),
        executor_(executor) {
    if (call)
      lane_sweep_.emplace(*tiles, *call, kernels, GateRunner<Real>{kernels, gate_rotors_, gate_entries_, chosen_},
                          executor_.watch);
  }

  void copy(const Real* from, Real* to) const;
  std::size_t state_bytes() const { return compiled_.layout.groups * group * sizeof(Real); }

  // Samples first .. first + count - 1 (one in single mode); lanes beyond repeat the last one.
  void bind(const Batch& batch, u64 first, u64 count);

  // A state is left as the plan relabels it, and so are those of `observe` and `reverse`; see `to_logical`.
  void forward(Real* psi);
  void to_logical(Real* state);
  void from_logical(Real* state);
  // (count, terms)
  void values(const Real* psi, double* out);
  // lambda = sum over terms of cotangent * term psi; cotangents (count, terms), 0 for the lanes beyond.
  void observe(const Real* psi, Real* lambda, const double* cotangents);
  // lambda += states (count, 2^n), interleaved complex rows.
  void add(const Real* states, Real* lambda);
  // Consumes psi; adds d/d slot. Leaves lambda at the start of the program when `to_start`, else anywhere.
  void reverse(Real* psi, Real* lambda, const Gradients& out, bool to_start);
  // Interleaved complex rows (count, 2^n); in single mode in place when out is psi.
  void unpack(const Real* psi, Real* out);

  // Gradients per slot: one for each lane in lanes mode, one in single mode.
  int width() const { return lanes_mode() ? lanes : 1; }

 private:
  bool lanes_mode() const { return compiled_.layout.lane_bits == 0; }
  Rotor<Real> rotor(std::size_t step, bool inverse) const;
  // The phases of a table step; `memory` holds those that depend on an angle.
  TableEntries<Real> entries(std::size_t step, bool inverse, Buffer& memory) const;
  void prepare(const Instruction& in, Real* psi);
  void load_initial(Real* psi);
  // f(here, there) for each real of the state and of its interleaved row, which row(lane) gives.
  template <typename Row, typename F>
  void along_rows(Row row, F f);
  void apply(std::size_t step, Real* psi, Way way);
  void reverse_step(std::size_t step, Real* psi, Real* lambda, double* gradients);
  void bind_rotors();
  void bind_choices();
  void bind_tiles();
  void bind_gates();
  bool from_zero() const;
  // Adds the sums of X masks first .. last - 1 over tiles begin .. end - 1, from the place of the first on.
  void add_terms(const Real* psi, u64 first, u64 last, u64 begin, u64 end, double* sums) const;
  void reverse_gates(Real* psi, Real* lambda, double* gradients, bool to_start);
  void reverse_tiles(Real* psi, Real* lambda, double* gradients, bool to_start);
  double term_sign(int term) const { return tiles_ ? tiles_->words.term_signs[static_cast<std::size_t>(term)] : 1.0; }
  void record(const Step& step, const std::vector<double>& sums, u64 tasks, double* gradients) const;

  const Source& source_;
  const Compiled<Real>& compiled_;
  const TilePlan<Real>* tiles_;
  const KernelTable<Real>& kernels_;
  const std::vector<Trig>& trig_;
  Executor executor_;
  const Batch* batch_ = nullptr;
  u64 first_ = 0, count_ = 1;
  std::vector<double> per_sample_;           // (n_per_sample, lanes), so that a slot's lanes are together
  std::vector<std::size_t> own_steps_;       // whose rotor has a per-sample angle
  std::vector<Rotor<Real>> rotors_;          // of those
  std::vector<std::int32_t> rotor_of_step_;  // index into rotors_, or -1
  std::vector<Chosen<Real>> chosen_;         // of the matrices of dense operands
  std::vector<double> sums_;                 // of terms
  // of a plan
  std::vector<double> angles_;  // of instructions
  std::vector<Rotor<Real>> gate_rotors_;
  std::vector<TableEntries<Real>> gate_entries_;
  std::vector<Buffer> gate_memory_;
  std::optional<Sweeps<Real>> sweeps_;         // of a large state
  std::optional<LaneSweep<Real>> lane_sweep_;  // of samples as lanes
};

extern template class Unit<float>;
extern template class Unit<double>;

}  // namespace ketgrad
