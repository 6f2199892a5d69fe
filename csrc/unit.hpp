// One unit of a batch on its way through a compiled program: the sweep forward, the observables, the sweep back.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "compiled.hpp"
#include "engine.hpp"
#include "parallel.hpp"

namespace ketgrad {

using u64 = std::uint64_t;

// Cuts a range of groups into tasks. The cut depends on the range alone, so sums over tasks do not depend on threads.
struct Executor {
  Watch& watch;
  bool parallel;

  static u64 tasks(u64 items) { return std::clamp<u64>(items / kTaskItems, 1, kMaxTasks); }

  // f(begin, end, task)
  template <typename F>
  void over(u64 items, F f) const {
    const u64 count = tasks(items);
    auto task = [&](u64 t) {
      const u64 begin = items / count * t + std::min(t, items % count);
      const u64 end = begin + items / count + (t < items % count);
      f(begin, end, t);
      watch.tick((end - begin) * kItemCost + kTaskCost);
    };
    if (count > 1 && parallel)
      parallel_for(count, watch, task);
    else
      for (u64 t = 0; t < count; ++t) task(t);
  }

  static constexpr u64 kTaskItems = 1024;  // groups; 128 KiB
  static constexpr u64 kMaxTasks = 64;
  static constexpr u64 kItemCost = 5, kTaskCost = 20;  // ns, for the watch
};

// Cosines and sines of all steps whose angle is one number for the batch.
struct Trig {
  double c, s, angle;
};

std::vector<Trig> shared_trig(const std::vector<Step>& steps, const double* shared, int n_shared);

template <typename Real>
class Unit {
 public:
  static constexpr int lanes = kLanes<Real>;
  static constexpr int group = 2 * lanes;  // reals

  Unit(const Source& source, const Compiled<Real>& compiled, const KernelTable<Real>& kernels,
       const std::vector<Trig>& trig, const Executor& executor)
      : source_(source),
        compiled_(compiled),
        kernels_(kernels),
        trig_(trig),
        executor_(executor) {}

  std::size_t state_bytes() const { return compiled_.layout.groups * group * sizeof(Real); }

  // Samples first .. first + count - 1 (one in single mode); lanes beyond repeat the last one.
  void bind(const Batch& batch, u64 first, u64 count);

  void forward(Real* psi);
  // (count, terms)
  void values(const Real* psi, double* out);
  // lambda = sum over terms of cotangent * term psi; cotangents (count, terms), 0 for the lanes beyond.
  void observe(const Real* psi, Real* lambda, const double* cotangents);
  // lambda += states (count, 2^n), interleaved complex rows.
  void add(const Real* states, Real* lambda);
  // Consumes psi; adds d/d slot to gradients (slots, width()). Leaves lambda at the start of the program when
  // `to_start`, else anywhere.
  void reverse(Real* psi, Real* lambda, double* gradients, bool to_start);
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
  void apply(std::size_t step, Real* psi, bool inverse);
  void record(const Step& step, const std::vector<double>& sums, u64 tasks, double* gradients) const;

  const Source& source_;
  const Compiled<Real>& compiled_;
  const KernelTable<Real>& kernels_;
  const std::vector<Trig>& trig_;
  Executor executor_;
  const Batch* batch_ = nullptr;
  u64 first_ = 0, count_ = 1;
  std::vector<double> per_sample_;           // (n_per_sample, lanes), so that a slot's lanes are together
  std::vector<Rotor<Real>> rotors_;          // of the steps with per-sample angles
  std::vector<std::int32_t> rotor_of_step_;  // index into rotors_, or -1
};

extern template class Unit<float>;
extern template class Unit<double>;

}  // namespace ketgrad
