// The boundary of shifted circuits.
#pragma once

#include <bit>
#include <complex>
#include <memory>
#include <tuple>

#include "binding.hpp"
#include "shifts.hpp"

namespace ketgrad {

// Circuits that differ from a program in one angle.
class ShiftPlan {
 public:
  ShiftPlan(const py::array& instructions, const Doubles& pool, const py::array& terms, int n_bits, int n_shared,
            int n_per_sample, bool double_precision)
      : n_bits_(n_bits),
        n_shared_(n_shared),
        n_per_sample_(n_per_sample) {
    Source source = source_of(instructions, pool, terms, n_bits, n_shared, n_per_sample);
    n_terms_ = static_cast<py::ssize_t>(source.terms.size());
    for (const Instruction& in : source.instructions) slots_.push_back(in.slot);
    shifts_ = make_shifts(std::move(source), double_precision);
  }

  Doubles values(const Doubles& shared, const Doubles& per_sample, const Integers& instruction, const Integers& nodes,
                 const Doubles& shifts, const Integers& bundle, const Complexes& weights) const {
    const Batch batch = batch_of(shared, per_sample, n_shared_, n_per_sample_);
    const ShiftRequest request = check(instruction, nodes, shifts, bundle, weights);
    Doubles out({per_sample.shape(0), bundle.shape(0), n_terms_});
    double* to = out.mutable_data();
    outside_gil([&] { shifts_->values(batch, request, to, poll_signals); });
    return out;
  }

  // settings: (x_bits, y_bits, measured, table) each.
  py::tuple moments(const Doubles& shared, const Doubles& per_sample, const Integers& instruction,
                    const Integers& nodes, const Doubles& shifts, const Integers& bundle, const Complexes& weights,
                    const std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, Doubles>>& settings,
                    const Integers& shots, const Doubles& uniforms) const {
    const Batch batch = batch_of(shared, per_sample, n_shared_, n_per_sample_);
    const ShiftRequest request = check(instruction, nodes, shifts, bundle, weights);
    ShotRequest drawn{{}, shots.data(), uniforms.data()};
    py::ssize_t outputs = 0;
    for (const auto& [x_bits, y_bits, measured, table] : settings) {
      expect(((x_bits | y_bits | measured) >> n_bits_) == 0 && (x_bits & y_bits) == 0, "a bit is out of range");
      expect(table.ndim() == 2 && table.shape(1) == py::ssize_t{1} << std::popcount(measured),
             "a table has shape (outputs, outcomes)");
      drawn.settings.push_back({x_bits, y_bits, measured, static_cast<std::uint64_t>(table.shape(0)), table.data()});
      outputs += table.shape(0);
    }
    expect(shots.ndim() == 3 && shots.shape(0) == per_sample.shape(0) && shots.shape(1) == bundle.shape(0) &&
               shots.shape(2) == static_cast<py::ssize_t>(settings.size()),
           "shots have shape (batch, rows, settings)");
    std::int64_t total = 0;
    for (py::ssize_t i = 0; i < shots.size(); ++i) {
      expect(shots.data()[i] >= 1 && shots.data()[i] <= uniforms.size(), "there is a shot for every setting of a row");
      total += shots.data()[i];
    }
    expect(uniforms.ndim() == 1 && total == uniforms.size(), "there is one uniform number for each shot");
    Doubles mean({per_sample.shape(0), bundle.shape(0), outputs}),
        variance({per_sample.shape(0), bundle.shape(0), outputs});
    double *to_mean = mean.mutable_data(), *to_variance = variance.mutable_data();
    outside_gil([&] { shifts_->moments(batch, request, drawn, to_mean, to_variance, poll_signals); });
    return py::make_tuple(mean, variance);
  }

 private:
  ShiftRequest check(const Integers& instruction, const Integers& nodes, const Doubles& shifts, const Integers& bundle,
                     const Complexes& weights) const {
    const py::ssize_t bundles = instruction.size(), rows = bundle.size();
    expect(instruction.ndim() == 1 && nodes.ndim() == 1 && nodes.size() == bundles && shifts.ndim() == 2 &&
               shifts.shape(0) == bundles && shifts.shape(1) == kMaxNodes,
           "bundles have an instruction, a number of nodes and the shifts of two");
    expect(bundle.ndim() == 1 && weights.ndim() == 2 && weights.shape(0) == rows && weights.shape(1) == 1 + kMaxNodes,
           "rows have a bundle and three weights");
    for (py::ssize_t b = 0; b < bundles; ++b) {
      const std::int64_t i = instruction.data()[b], n = nodes.data()[b];
      expect(i >= 0 && i < static_cast<std::int64_t>(slots_.size()) && slots_[static_cast<std::size_t>(i)] >= 0,
             "a bundle has an instruction with a slot");
      expect(n >= 1 && n <= kMaxNodes, "a bundle has one or two nodes");
    }
    for (py::ssize_t r = 0; r < rows; ++r)
      expect(bundle.data()[r] >= 0 && bundle.data()[r] < bundles, "a row has a bundle");
    return {static_cast<std::uint64_t>(bundles),
            instruction.data(),
            nodes.data(),
            shifts.data(),
            static_cast<std::uint64_t>(rows),
            bundle.data(),
            reinterpret_cast<const double*>(weights.data())};
  }

  int n_bits_, n_shared_, n_per_sample_;
  py::ssize_t n_terms_ = 0;
  std::vector<std::int32_t> slots_;
  std::unique_ptr<Shifts> shifts_;
};

}  // namespace ketgrad
