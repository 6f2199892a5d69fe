// The boundary of annealing.
#pragma once

#include "anneal.hpp"
#include "binding.hpp"

namespace ketgrad {

using Ints32 = py::array_t<std::int32_t, py::array::c_style>;
using Bytes8 = py::array_t<std::int8_t, py::array::c_style>;

// Spins that interact, in whole units.
class Spins {
 public:
  Spins(const Ints32& fields, const Ints32& starts, const Ints32& neighbours, const Ints32& couplings) {
    const py::ssize_t n = fields.size(), entries = neighbours.size();
    expect(fields.ndim() == 1 && n >= 1 && starts.ndim() == 1 && starts.size() == n + 1, "starts have shape (n + 1,)");
    expect(neighbours.ndim() == 1 && couplings.ndim() == 1 && couplings.size() == entries,
           "every neighbour has a coupling");
    expect(starts.data()[0] == 0 && starts.data()[n] == entries, "starts go from 0 to the number of neighbours");
    for (py::ssize_t i = 0; i < n; ++i) {
      std::int64_t bound = std::abs(std::int64_t{fields.data()[i]});
      expect(starts.data()[i] <= starts.data()[i + 1] && starts.data()[i + 1] <= entries, "starts ascend");
      for (std::int32_t e = starts.data()[i]; e < starts.data()[i + 1]; ++e) {
        const std::int32_t other = neighbours.data()[e];
        expect(other >= 0 && other < n && other != i, "neighbours are other spins");
        bound += std::abs(std::int64_t{couplings.data()[e]});
      }
      most_ = std::max(most_, bound);
    }
    expect(most_ <= std::int64_t{1} << 30, "fields stay within 2^30");
    model_.n = static_cast<std::uint32_t>(n);
    model_.fields.assign(fields.data(), fields.data() + n);
    model_.starts.assign(starts.data(), starts.data() + n + 1);
    model_.neighbours.assign(neighbours.data(), neighbours.data() + entries);
    model_.couplings.assign(couplings.data(), couplings.data() + entries);
  }

  Bytes8 anneal(const Doubles& rates, std::uint64_t sweeps, bool narrow, std::uint64_t seed, std::uint64_t first,
                std::uint64_t count, const Bytes8& initial) const {
    expect(rates.ndim() == 1 && sweeps < (1u << 31) &&
               static_cast<std::uint64_t>(rates.size()) * sweeps < (std::uint64_t{1} << 31),
           "there are fewer than 2^31 sweeps");
    expect(!narrow || most_ <= 127, "the fields of narrow spins stay within 127");
    const Cooling cooling{rates.data(), static_cast<std::uint64_t>(rates.size()), sweeps, narrow};
    const ReadRange reads = range(seed, first, count, initial);
    Bytes8 out({static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(model_.n)});
    std::int8_t* to = out.mutable_data();
    outside_gil([&] { ketgrad::anneal(model_, cooling, reads, to, poll_signals); });
    return out;
  }

  // steps: (sweeps, 4) of the rate, the bond, and what kept and broken bonds add to the magnetisation.
  py::tuple anneal_paths(const Doubles& steps, std::uint32_t slices, bool lines, std::uint64_t measured,
                         std::uint64_t seed, std::uint64_t first, std::uint64_t count, const Bytes8& initial) const {
    expect(steps.ndim() == 2 && steps.shape(1) == 4 && steps.shape(0) < (py::ssize_t{1} << 31),
           "steps have shape (sweeps, 4)");
    expect(slices >= 2 && slices % 2 == 0 && slices <= (1u << 16), "the number of slices is even, from 2 to 65536");
    expect(most_ * slices <= std::int64_t{1} << 30, "fields times slices stay within 2^30");
    const auto sweeps = static_cast<std::size_t>(steps.shape(0));
    expect(measured >= 1 && measured <= sweeps, "from one sweep to all are measured");
    std::vector<WideStep> each(sweeps);
    std::vector<double> kept(sweeps), broken(sweeps);
    for (std::size_t k = 0; k < sweeps; ++k) {
      const double* row = steps.data() + 4 * k;
      each[k] = {static_cast<float>(row[0]), static_cast<float>(row[1])};
      kept[k] = row[2];
      broken[k] = row[3];
    }
    const PathSchedule schedule{each.data(), kept.data(), broken.data(), sweeps, measured, slices, lines};
    const ReadRange reads = range(seed, first, count, initial);
    const auto rows = static_cast<py::ssize_t>(count);
    Bytes8 out({rows, static_cast<py::ssize_t>(model_.n)});
    Doubles energies(rows), magnetisations(rows);
    std::int8_t* to = out.mutable_data();
    double *e = energies.mutable_data(), *m = magnetisations.mutable_data();
    outside_gil([&] { ketgrad::anneal_paths(model_, schedule, reads, to, e, m, poll_signals); });
    return py::make_tuple(out, energies, magnetisations);
  }

 private:
  ReadRange range(std::uint64_t seed, std::uint64_t first, std::uint64_t count, const Bytes8& initial) const {
    constexpr std::uint64_t kMost = std::uint64_t{1} << 40;
    expect(count >= 1 && count < (1u << 31) && first < kMost, "there is a read, and fewer than 2^31 in a call");
    expect(initial.ndim() == 2 && initial.shape(1) == static_cast<py::ssize_t>(model_.n) &&
               static_cast<std::uint64_t>(initial.shape(0)) <= count,
           "initial spins have shape (at most the reads, n)");
    return {seed, first, count, static_cast<std::uint64_t>(initial.shape(0)), initial.data()};
  }

  SpinModel model_;
  std::int64_t most_ = 0;
};

}  // namespace ketgrad
