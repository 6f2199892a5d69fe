// Annealing of classical spins: simulated annealing, and paths of spins in imaginary time (simulated quantum
// annealing).
//
// A group of reads is a task; its spins depend on the seed and the numbers of its reads alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "anneal_kernels.hpp"

namespace ketgrad {

// E = sum_i fields[i] s_i + sum over pairs of J s_i s_j in whole units; neighbours hold every pair twice.
struct SpinModel {
  std::uint32_t n;
  std::vector<std::int32_t> fields;       // (n)
  std::vector<std::uint32_t> starts;      // (n + 1)
  std::vector<std::uint32_t> neighbours;  // (2 E)
  std::vector<std::int32_t> couplings;    // (2 E)

  WideGraph wide(std::vector<std::int32_t>& twice) const;
};

// Reads first .. first + count - 1 of a seed. The first `given` of them start from rows of `initial` (given, n).
struct ReadRange {
  std::uint64_t seed, first, count, given;
  const std::int8_t* initial;
};

// Sweeps of simulated annealing: `sweeps` at each of `steps` rates. Narrow models take exp(-2 beta) of a unit as rate,
// wide ones 2 beta.
struct Cooling {
  const double* rates;
  std::uint64_t steps, sweeps;
  bool narrow;
};

// Writes the spins at the end, (count, n) of +-1. The fields of narrow models stay within 127, others within 2^30.
void anneal(const SpinModel& model, const Cooling& cooling, const ReadRange& reads, std::int8_t* spins,
            const std::function<void()>& poll);

// Sweeps over paths of `slices` slices, an even number: one sweep for each step, over all slices and then, with
// `lines`, over all spins in all their slices at once. The last `measured` sweeps are measured.
struct PathSchedule {
  const WideStep* steps;
  const double* kept;    // what an intact bond in time adds to the transverse magnetisation
  const double* broken;  // and a broken one
  std::uint64_t count, measured;
  std::uint32_t slices;
  bool lines;
};

// Writes of every read the slice of lowest energy (count, n), the mean energy of slices and the mean transverse
// magnetisation of a spin (count each). Fields times slices stay within 2^30.
void anneal_paths(const SpinModel& model, const PathSchedule& schedule, const ReadRange& reads, std::int8_t* spins,
                  double* energies, double* magnetisations, const std::function<void()>& poll);

// What the two have in common.

enum class Purpose : std::uint32_t { Start, Narrow, Wide, Slice, Line };

struct RandomKey {
  std::uint32_t a, b;
};

// The key of a read (or of whatever else `index` counts) for one purpose.
RandomKey random_key(std::uint64_t seed, std::uint64_t index, Purpose purpose);

// Spins at random for one key: bit i is set where spin i is -1.
class RandomSpins {
 public:
  explicit RandomSpins(RandomKey key) : key_(key) {}
  bool operator()(std::uint32_t i);

 private:
  RandomKey key_;
  std::uint64_t bits_ = 0;
};

}  // namespace ketgrad
