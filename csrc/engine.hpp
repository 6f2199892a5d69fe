// Runs compiled programs: forward, pullback, states. Knows shapes and layouts; knows no gate and no Python.
//
// A batch is cut into units. In lanes mode a unit is a tile of kLanes samples and the whole circuit, forward and back,
// runs for a tile before the next, so that its state stays in the cache; threads share out the tiles. In single mode
// a unit is one sample; threads share out the samples, or the groups of a large state.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tile_plan.hpp"

namespace ketgrad {

// Slots of a batch: shared (n_shared,) and per_sample (size, n_per_sample), row-major; and, unless null, the states it
// starts from instead of |0..0>: (size, 2^n), or one for all, interleaved complex numbers of the engine's precision.
struct Batch {
  const double* shared;
  const double* per_sample;
  std::uint64_t size;
  const void* initial = nullptr;
  bool one_initial = false;
};

// What a pullback starts from, for each of `sets`: cotangents of the terms' values (sets, size, terms), and, unless
// null, cotangents of the final states (sets, size, 2^n): the derivative by the state's conjugate.
struct Cotangents {
  const double* values;
  const void* states;
  std::uint64_t sets;
};

// What it gives: shared (sets, n_shared), or (sets, size, n_shared) when `each`; per_sample (sets, size, n_per_sample);
// and, unless null, the cotangents of the initial states (sets, size, 2^n).
struct Pulled {
  double* shared;
  double* per_sample;
  void* initial;
  bool each;
};

// Final states a forward call kept for its pullback.
class Tape {
 public:
  virtual ~Tape() = default;
};

using Poll = std::function<void()>;  // called about every 20 ms on the calling thread; may throw

// How a batch runs, and why. Times are estimates for one thread, by size alone; 0 where there is no choice.
struct Choice {
  bool in_lanes, planned;  // by a plan, where the layout has one, or gate by gate
  std::uint64_t lanes;     // samples of a tile
  double lanes_us, single_us;
  std::vector<PassFacts> passes;  // of a tile, or of a sample; none: gate by gate
};

class Engine {
 public:
  virtual ~Engine() = default;

  // values (size, terms); `states`, unless null, as of `states`.
  virtual std::unique_ptr<Tape> forward(const Batch& batch, double* values, void* states, bool keep,
                                        const Poll& poll) const = 0;

  // `tape` may be null.
  virtual void pullback(const Batch& batch, const Cotangents& cotangents, Tape* tape, const Pulled& out,
                        const Poll& poll) const = 0;

  // Final states, interleaved complex numbers of the engine's precision, (size, 2^n).
  virtual void states(const Batch& batch, void* out, const Poll& poll) const = 0;

  virtual Choice choice(std::uint64_t batch_size) const = 0;
};

// Throws std::invalid_argument for a source that `validate` refuses.
std::unique_ptr<Engine> make_engine(Source source, bool double_precision);

}  // namespace ketgrad
