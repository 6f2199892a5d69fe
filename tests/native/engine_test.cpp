// The engine without Python: random programs on every instruction set of this processor, compared with a scalar
// computation. Small enough for an emulator; run.sh says on which processors it runs.
//
//   engine_test [PROGRAMS] [NAME,NAME...]   how many; the instruction sets that must be there, and no others
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "dispatch.hpp"
#include "engine.hpp"
#include "half_angles.hpp"
#include "planner.hpp"
#include "programs.hpp"
#include "relabellings.hpp"
#include "shifts.hpp"
#include "spins.hpp"

namespace {

using programs::Draw;
using scalar::Source;
using scalar::u64;

constexpr ketgrad::Tiling kTilings[] = {{}, {0, 1, 1}, {0, 2, 1}, {1, 4, 1}, {2, 3, 1}, {0, 40, 1}, {3, 11, 64}};

// The largest difference from the scalar computation, over all numbers of a case.
class Worst {
 public:
  template <typename A, typename B>
  void add(const A& a, const B& b) {
    const double d = std::abs(a - b);
    if (!(d <= value)) value = d;  // NaN stays
  }
  double value = 0;
};

// A program with its slots for each sample of a batch, and what must come out.
struct Case {
  Source source;
  u64 size;
  std::vector<double> shared, per_sample, weights;
  std::vector<scalar::Run> expected;

  explicit Case(u64 seed) {
    Draw draw(seed);
    const int n_bits = 1 + static_cast<int>(draw.below(10));
    size = n_bits <= 6 && draw.chance(0.6) ? 1 + draw.below(20) : 1;
    source = programs::program(draw, n_bits, 40);
    for (int k = 0; k < source.n_shared; ++k) shared.push_back(draw.real(-3, 3));
    for (u64 k = 0; k < size * static_cast<u64>(source.n_per_sample); ++k) per_sample.push_back(draw.real(-3, 3));
    const double most = 1.0 / static_cast<double>(source.terms.size());
    for (u64 k = 0; k < size * source.terms.size(); ++k) weights.push_back(draw.real(-most, most));
    for (u64 b = 0; b < size; ++b) {
      std::vector<double> slots = shared;
      const auto from = per_sample.begin() + static_cast<std::ptrdiff_t>(b) * source.n_per_sample;
      slots.insert(slots.end(), from, from + source.n_per_sample);
      expected.emplace_back(source, slots, weights.data() + b * source.terms.size());
    }
  }

  template <typename Real>
  Worst compare() const {
    const auto engine = ketgrad::make_engine(source, sizeof(Real) == 8);
    const ketgrad::Batch batch{shared.data(), per_sample.data(), size};
    const u64 terms = source.terms.size(), amplitudes = u64{1} << source.n_bits;
    std::vector<double> values(size * terms), to_shared(shared.size()), to_samples(per_sample.size());
    std::vector<std::complex<Real>> states(size * amplitudes);
    const auto no_signals = [] {};
    const auto tape = engine->forward(batch, values.data(), nullptr, true, no_signals);
    engine->pullback(batch, {weights.data(), nullptr, 1}, tape.get(),
                     {to_shared.data(), to_samples.data(), nullptr, false}, no_signals);
    engine->states(batch, states.data(), no_signals);

    Worst worst;
    std::vector<double> sums(shared.size());
    const auto trained = static_cast<u64>(source.n_per_sample);
    for (u64 b = 0; b < size; ++b) {
      const scalar::Run& run = expected[b];
      for (u64 i = 0; i < amplitudes; ++i) worst.add(std::complex<double>(states[b * amplitudes + i]), run.state[i]);
      for (u64 r = 0; r < terms; ++r) worst.add(values[b * terms + r], run.values[r]);
      for (u64 k = 0; k < shared.size(); ++k) sums[k] += run.gradient[k];
      for (u64 k = 0; k < trained; ++k) worst.add(to_samples[b * trained + k], run.gradient[shared.size() + k]);
    }
    for (u64 k = 0; k < sums.size(); ++k)  // a sum over the batch grows with it
      worst.add(to_shared[k] / static_cast<double>(size), sums[k] / static_cast<double>(size));
    const auto chooses = [](const auto& in) {
      return static_cast<ketgrad::Opcode>(in.opcode) == ketgrad::Opcode::Kraus;
    };
    if (std::none_of(source.instructions.begin(), source.instructions.end(), chooses)) shift<Real>(batch, worst);
    return worst;
  }

 private:
  static constexpr double kShift = 0.7;
  static constexpr u64 kShots = 20;

  // Every trained instruction moved, half of the way back to the unshifted state; in double precision also shots, of
  // all bits, and of one of them in X.
  template <typename Real>
  void shift(const ketgrad::Batch& batch, Worst& worst) const {
    std::vector<std::int64_t> instruction, nodes, bundle;
    std::vector<double> shifts, row_weights;
    for (std::size_t i = 0; i < source.instructions.size(); ++i) {
      if (source.instructions[i].slot < 0) continue;
      bundle.push_back(static_cast<std::int64_t>(instruction.size()));
      instruction.push_back(static_cast<std::int64_t>(i));
      nodes.push_back(1);
      shifts.insert(shifts.end(), {kShift, 0});
      row_weights.insert(row_weights.end(), {0, 0.5, 1, 0, 0, 0});  // i/2 of the one and the other
    }
    const u64 rows = bundle.size(), terms = source.terms.size(), amplitudes = u64{1} << source.n_bits;
    const ketgrad::ShiftRequest request{rows, instruction.data(), nodes.data(),      shifts.data(),
                                        rows, bundle.data(),      row_weights.data()};
    const auto engine = ketgrad::make_shifts(source, sizeof(Real) == 8);
    std::vector<double> values(size * rows * terms), table(amplitudes), uniforms, mean(size * rows * 2), spread(mean);
    const std::vector<std::int64_t> shots(size * rows * 2, kShots);
    for (u64 k = 0; k < shots.size() * kShots; ++k) uniforms.push_back(std::fmod(0.618 * static_cast<double>(k), 1.0));
    for (u64 i = 0; i < amplitudes; ++i) table[i] = std::cos(static_cast<double>(i));
    engine->values(batch, request, values.data(), [] {});
    engine->moments(
        batch, request,
        {{{0, 0, amplitudes - 1, 1, table.data()}, {1, 0, 1, 1, table.data()}}, shots.data(), uniforms.data()},
        mean.data(), spread.data(), [] {});
    for (u64 b = 0; b < size; ++b)
      for (u64 r = 0; r < rows; ++r) {
        const scalar::State state = shifted(b, static_cast<std::size_t>(instruction[r]));
        for (u64 t = 0; t < terms; ++t)
          worst.add(values[(b * rows + r) * terms + t],
                    scalar::real_inner(state, scalar::term_times(source.terms[t], state)));
        if (sizeof(Real) != 8) continue;
        const u64 at = (b * rows + r) * 2;
        worst.add(mean[at], drawn(state, table.data(), amplitudes - 1, uniforms.data() + at * kShots));
        scalar::State turned(state.size());
        for (u64 i = 0; i < amplitudes; ++i)
          turned[i] = std::sqrt(0.5) * (state[i & ~u64{1}] + (i & 1 ? -1.0 : 1.0) * state[i | 1]);
        worst.add(mean[at + 1], drawn(turned, table.data(), 1, uniforms.data() + (at + 1) * kShots));
      }
  }

  // The final state of a sample with one angle moved, plus i/2 of the unshifted one's.
  scalar::State shifted(u64 sample, std::size_t instruction) const {
    Source moved = source;
    moved.instructions[instruction].offset += kShift;
    std::vector<double> slots = shared;
    const auto from = per_sample.begin() + static_cast<std::ptrdiff_t>(sample) * source.n_per_sample;
    slots.insert(slots.end(), from, from + source.n_per_sample);
    scalar::State out = scalar::Run(moved, slots, weights.data()).state;
    for (u64 i = 0; i < out.size(); ++i) out[i] += std::complex<double>(0, 0.5) * expected[sample].state[i];
    return out;
  }

  // The mean of what is drawn for some uniform numbers.
  static double drawn(const scalar::State& state, const double* table, u64 measured, const double* uniforms) {
    std::vector<double> ends;
    double total = 0, sum = 0;
    for (const auto& amplitude : state) ends.push_back(total += std::norm(amplitude));
    for (u64 s = 0; s < kShots; ++s) {
      u64 i = 0;
      while (i + 1 < state.size() && ends[i] <= uniforms[s] * total) ++i;
      sum += table[i & measured];
    }
    return sum / static_cast<double>(kShots);
  }
};

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ",") + name;
  return out;
}

template <typename Real>
bool agree(const Case& test, u64 seed, double limit, const char* precision, const std::string& isa, Worst& worst) {
  const Worst here = test.compare<Real>();
  worst.add(std::max(worst.value, here.value), 0.0);
  if (here.value <= limit) return true;
  std::printf("%s, %s, program %llu: differs by %.3g, the limit is %.3g\n", isa.c_str(), precision,
              static_cast<unsigned long long>(seed), here.value, limit);
  return false;
}

int run(u64 programs, const std::string& wanted) {
  const std::vector<std::string> isas = ketgrad::available_isas();
  if (!wanted.empty() && joined(isas) != wanted) {
    std::printf("expected the instruction sets %s, this processor has %s\n", wanted.c_str(), joined(isas).c_str());
    return 1;
  }
  std::vector<Worst> single(isas.size()), twice(isas.size());
  int failures = 0;
  for (u64 seed = 0; seed < programs; ++seed) {
    const Case test(seed);
    ketgrad::set_tiling(kTilings[seed % std::size(kTilings)]);
    for (std::size_t k = 0; k < isas.size(); ++k) {
      ketgrad::set_isa(isas[k]);
      failures += !agree<float>(test, seed, 1e-5, "complex64", isas[k], single[k]);
      failures += !agree<double>(test, seed, 1e-12, "complex128", isas[k], twice[k]);
    }
  }
  for (const std::string& isa : isas) {
    ketgrad::set_isa(isa);
    failures += !spins::agree(isa) + !half_angles::agree(isa);
  }
  failures += !relabellings::agree(programs);
  for (std::size_t k = 0; k < isas.size(); ++k)
    std::printf("%-16s %llu programs, furthest from scalar: complex64 %.1e, complex128 %.1e\n", isas[k].c_str(),
                static_cast<unsigned long long>(programs), single[k].value, twice[k].value);
  if (failures) std::printf("%d comparisons failed\n", failures);
  return failures != 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 500, argc > 2 ? argv[2] : "");
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
}
