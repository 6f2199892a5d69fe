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

#include "compiled.hpp"

namespace ketgrad {

// Slots of a batch: shared (n_shared,) and per_sample (size, n_per_sample), row-major.
struct Batch {
  const double* shared;
  const double* per_sample;
  std::uint64_t size;
};

// Final states a forward call kept for its pullback.
class Tape {
 public:
  virtual ~Tape() = default;
};

using Poll = std::function<void()>;  // called about every 20 ms on the calling thread; may throw

class Engine {
 public:
  virtual ~Engine() = default;

  // values (size, terms).
  virtual std::unique_ptr<Tape> forward(const Batch& batch, double* values, bool keep, const Poll& poll) const = 0;

  // cotangents (sets, size, terms) -> shared (sets, n_shared), or (sets, size, n_shared) when `each`, and per_sample
  // (sets, size, n_per_sample). `tape` may be null.
  virtual void pullback(const Batch& batch, const double* cotangents, std::uint64_t sets, Tape* tape, bool each,
                        double* shared, double* per_sample, const Poll& poll) const = 0;

  // Final states, interleaved complex numbers of the engine's precision, (size, 2^n).
  virtual void states(const Batch& batch, void* out, const Poll& poll) const = 0;

  // "lanes" or "single": how a batch of this size runs.
  virtual std::string mode(std::uint64_t batch_size) const = 0;
};

// Throws std::invalid_argument for a source that `validate` refuses.
std::unique_ptr<Engine> make_engine(Source source, bool double_precision);

}  // namespace ketgrad
