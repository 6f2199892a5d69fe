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
#include "planner.hpp"
#include "programs.hpp"

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
    const auto tape = engine->forward(batch, values.data(), true, no_signals);
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
    return worst;
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
