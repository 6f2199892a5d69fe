#include "engine.hpp"

#include <atomic>
#include <mutex>
#include <new>

#include "dispatch.hpp"
#include "unit.hpp"

namespace ketgrad {

namespace {

constexpr int kMaxLanesBits = 13;           // a tile of 2^13 groups is 1 MiB; beyond it a sample fills the cache alone
constexpr int kMaxSampleParallelBits = 18;  // up to here every thread may hold samples of its own
constexpr int kMaxStateBits = 50;           // 2^50 amplitudes; beyond it byte counts could overflow
constexpr u64 kKeepBytes = u64{256} << 20;  // final states kept for the pullback without being consumed by it

template <typename Real>
class TapeOf final : public Tape {
 public:
  std::mutex mutex;
  Buffer kets;  // of all units, one after the other
  std::shared_ptr<const LaneCall<Real>> call;
  u64 engine = 0, batch = 0;  // whose it is: anyone else's is not looked at
  bool lanes = false;
  bool consumable = false;  // one unit, too large to copy: the first pullback works in it

  Real* ket(u64 index, const Unit<Real>& unit) const {
    return kets.template as<Real>() + index * unit.state_bytes() / sizeof(Real);
  }

  // A unit's final state: copied into `into`, or moved out and left empty. False when it is gone.
  bool take(u64 index, const Unit<Real>& unit, Buffer& into) {
    if (consumable) {
      const std::lock_guard lock(mutex);
      if (!kets) return false;
      into = std::move(kets);
      return true;
    }
    into.hold(unit.state_bytes());
    unit.copy(ket(index, unit), into.as<Real>());
    return true;
  }
};

std::atomic<u64> next_engine{1};

template <typename Real>
class EngineOf final : public Engine {
 public:
  static constexpr u64 lanes = kLanes<Real>;

  explicit EngineOf(Source source) : id_(next_engine.fetch_add(1)), source_(std::move(source)) {}

  std::unique_ptr<Tape> forward(const Batch& batch, double* values, void* states, bool keep,
                                const Poll& poll) const override {
    const FlushDenormals flush;
    Watch watch(poll);
    const Job job = plan(batch, true, false, false, nullptr);
    auto tape = std::make_unique<TapeOf<Real>>();
    const u64 bytes = job.units * job.compiled.layout.groups * kGroupBytes;
    const bool kept = keep && (bytes <= kKeepBytes || job.units == 1);
    if (kept) {
      tape->kets = Buffer(bytes);
      tape->engine = id_;
      tape->batch = batch.size;
      tape->lanes = job.in_lanes;
      tape->consumable = bytes > kKeepBytes;
      tape->call = job.call;
    }
    run(job, batch, watch, [&](Unit<Real>& unit, u64 index, u64, Scratch& scratch) {
      if (!kept) scratch.ket.hold(unit.state_bytes());
      Real* const psi = kept ? tape->ket(index, unit) : scratch.ket.template as<Real>();
      unit.forward(psi);
      unit.values(psi, values + job.first(index) * source_.terms.size());
      if (!states) return;
      unit.to_logical(psi);
      unit.unpack(psi, static_cast<Real*>(states) + (job.first(index) << (source_.n_bits + 1)));
      if (kept) unit.from_logical(psi);
    });
    if (!kept) return nullptr;
    return tape;
  }

  void pullback(const Batch& batch, const Cotangents& cotangents, Tape* given, const Pulled& out,
                const Poll& poll) const override {
    const FlushDenormals flush;
    Watch watch(poll);
    auto* tape = dynamic_cast<TapeOf<Real>*>(given);
    if (tape && (tape->engine != id_ || tape->batch != batch.size || tape->lanes != estimate(batch.size).in_lanes))
      tape = nullptr;
    const Job job = plan(batch, !tape || tape->consumable, true, out.initial != nullptr, tape ? tape->call : nullptr);
    const u64 n_shared = static_cast<u64>(source_.n_shared),
              n_slots = n_shared + static_cast<u64>(source_.n_per_sample);
    const u64 terms = source_.terms.size(), row_reals = u64{2} << source_.n_bits, sets = cotangents.sets;
    std::vector<double> partial(out.each ? 0 : job.tasks() * sets * n_shared);  // added up in order of the tasks
    run(job, batch, watch, [&](Unit<Real>& unit, u64 index, u64 task, Scratch& scratch) {
      const u64 first = job.first(index), count = job.count(index, batch.size), width = static_cast<u64>(unit.width());
      auto& [ket, copy, memory, gradients] = scratch;
      memory.hold(unit.state_bytes() + kApart);
      Real* const lambda = memory.template as<Real>() + kApart / sizeof(Real);
      if (!tape || !tape->take(index, unit, ket)) {
        ket.hold(unit.state_bytes());
        unit.forward(ket.template as<Real>());
      }
      for (u64 k = 0; k < sets; ++k) {
        Real* psi = ket.template as<Real>();
        if (k + 1 < sets) {  // the sweep consumes its ket
          copy.hold(unit.state_bytes());
          unit.copy(psi, copy.template as<Real>());
          psi = copy.template as<Real>();
        }
        gradients.assign(n_slots * width, 0.0);
        const u64 row_of_set = k * batch.size + first;
        unit.observe(psi, lambda, cotangents.values + row_of_set * terms);
        if (cotangents.states) {
          unit.to_logical(lambda);
          unit.add(static_cast<const Real*>(cotangents.states) + row_of_set * row_reals, lambda);
          unit.from_logical(lambda);
        }
        double* const total = out.each ? nullptr : partial.data() + (task * sets + k) * n_shared;
        unit.reverse(psi, lambda, {gradients.data(), total}, out.initial != nullptr);
        if (out.initial) unit.unpack(lambda, static_cast<Real*>(out.initial) + row_of_set * row_reals);
        for (u64 s = out.each ? 0 : n_shared; s < n_slots; ++s)
          for (u64 l = 0; l < (job.in_lanes ? count : 1); ++l) {
            const u64 row = row_of_set + l;
            double& to = s < n_shared ? out.shared[row * n_shared + s]
                                      : out.per_sample[row * (n_slots - n_shared) + s - n_shared];
            to = gradients[s * width + l];
          }
      }
    });
    if (out.each) return;
    std::fill(out.shared, out.shared + sets * n_shared, 0.0);
    for (u64 task = 0; task < job.tasks(); ++task)
      for (u64 i = 0; i < sets * n_shared; ++i) out.shared[i] += partial[task * sets * n_shared + i];
  }

  void states(const Batch& batch, void* out, const Poll& poll) const override {
    const FlushDenormals flush;
    Watch watch(poll);
    const Job job = plan(batch, true, false, false, nullptr);
    run(job, batch, watch, [&](Unit<Real>& unit, u64 index, u64, Scratch& scratch) {
      Real* row = static_cast<Real*>(out) + (job.first(index) << (source_.n_bits + 1));
      Real* psi = row;
      if (job.in_lanes) {
        scratch.ket.hold(unit.state_bytes());
        psi = scratch.ket.template as<Real>();
      }
      unit.forward(psi);
      unit.to_logical(psi);
      unit.unpack(psi, row);
    });
  }

  Choice choice(u64 batch_size) const override {
    Choice out = estimate(batch_size);
    const Ready& r = ready(out);
    if (r.tiles)
      for (const TilePass<Real>& pass : r.tiles->passes) out.passes.push_back(pass.facts(r.compiled().layout.groups));
    return out;
  }

 private:
  static constexpr u64 kGroupBytes = 128;
  static constexpr u64 kTaskWork = 8192;  // groups times steps; tens of microseconds
  static constexpr u64 kApart =
      64;  // loads from the bra must not look as if they waited for stores to the ket, 4 KiB apart

  // Memory of a task.
  struct Scratch {
    Buffer ket, copy, lambda;
    std::vector<double> gradients;
  };

  struct Job {
    const Compiled<Real>& compiled;
    const TilePlan<Real>* tiles;
    bool in_lanes;
    bool by_unit;  // threads share out the units; else the groups of one state after another
    u64 units;
    std::vector<Trig> trig;                      // of steps that run as gates
    std::shared_ptr<const LaneCall<Real>> call;  // the numbers of a plan in lanes mode

    // By size alone, and none that another thread would take longer to fetch than to do. A power of two: of three
    // tasks, one of two threads would do two.
    u64 tasks() const {
      const u64 work = units * compiled.layout.groups * (compiled.steps.size() + 1);
      return by_unit ? std::min<u64>(std::bit_floor(std::clamp<u64>(work / kTaskWork, 1, 256)), units) : 1;
    }

    u64 first(u64 unit) const { return in_lanes ? unit * lanes : unit; }
    u64 count(u64 unit, u64 size) const { return in_lanes ? std::min(lanes, size - unit * lanes) : 1; }
  };

  // Depends on the circuit's size and the batch alone. Measured for a few layers, in microseconds: a tile of samples
  // takes 10 and 0.3 a group, a single sample 8 and 0.8 a group, of which it has fewer, or 0.45 where there are many.
  Choice estimate(u64 batch_size) const {
    const int lane_bits = std::countr_zero(lanes);
    // The numbers of a plan are worked out anew in every call: not for a single tile that is as small.
    if (source_.n_bits <= lane_bits) return {true, batch_size > lanes, lanes, 0, 0, {}};
    if (source_.n_bits > kMaxLanesBits) return {false, true, lanes, 0, 0, {}};
    const double groups = static_cast<double>(u64{1} << source_.n_bits), own = groups / static_cast<double>(lanes);
    const double in_lanes = static_cast<double>((batch_size + lanes - 1) / lanes) * (10 + 0.3 * groups);
    const double single = static_cast<double>(batch_size) * (8 + (own < 256 ? 0.8 : 0.45) * own);
    return {in_lanes <= single, true, lanes, in_lanes, single, {}};
  }

  // For one of the two layouts; a large state goes by a plan of tiles.
  struct Ready {
    std::unique_ptr<const TilePlan<Real>> tiles;
    std::unique_ptr<const Compiled<Real>> small;

    const Compiled<Real>& compiled() const { return tiles ? tiles->compiled : *small; }
  };

  const Ready& ready(const Choice& choice) const {
    const bool in_lanes = choice.in_lanes;
    const int which = !in_lanes ? 0 : choice.planned ? 1 : 2;
    std::call_once(once_[which], [&] {
      const int lane_bits = in_lanes ? 0 : std::countr_zero(lanes), least = tiling().least_bits;
      if (in_lanes ? choice.planned && least <= kMaxStateBits : source_.n_bits - lane_bits >= std::max(1, least))
        ready_[which].tiles = std::make_unique<TilePlan<Real>>(source_, lane_bits);
      else
        ready_[which].small = std::make_unique<Compiled<Real>>(source_, source_.terms, lane_bits);
    });
    return ready_[which];
  }

  // Of calls that go forward, back, and back to the initial states. `before`: of the forward call with these slots.
  Job plan(const Batch& batch, bool forward, bool back, bool to_start,
           std::shared_ptr<const LaneCall<Real>> before) const {
    if (source_.n_bits > kMaxStateBits) throw std::bad_alloc();
    const Choice choice = estimate(batch.size);
    const bool in_lanes = choice.in_lanes;
    const Ready& r = ready(choice);
    const u64 units = in_lanes ? (batch.size + lanes - 1) / lanes : batch.size;
    const bool by_unit = units > 1 && (in_lanes || source_.n_bits <= kMaxSampleParallelBits);
    const std::vector<bool>* only = r.tiles ? &r.tiles->gates : nullptr;
    Job job{r.compiled(), r.tiles.get(), in_lanes,
            by_unit,      units,         shared_trig(r.compiled().steps, only, batch.shared, source_.n_shared),
            nullptr};
    if (in_lanes && r.tiles)
      job.call = std::make_shared<const LaneCall<Real>>(*r.tiles, source_, kernels().of<Real>(), batch.shared, forward,
                                                        back, to_start, std::move(before));
    return job;
  }

  // work(unit, index, task, scratch) for every unit; the units of a task share its Unit and scratch.
  template <typename Work>
  void run(const Job& job, const Batch& batch, Watch& watch, Work work) const {
    const KernelTable<Real>& table = kernels().of<Real>();
    const u64 tasks = job.tasks();
    auto task = [&](u64 t) {
      Unit<Real> unit(source_, job.compiled, job.tiles, job.call.get(), table, job.trig, Executor{watch, !job.by_unit});
      Scratch scratch;
      for (u64 index = job.units * t / tasks; index < job.units * (t + 1) / tasks; ++index) {
        unit.bind(batch, job.first(index), job.count(index, batch.size));
        work(unit, index, t, scratch);
      }
    };
    if (tasks > 1)
      parallel_for(tasks, watch, task);
    else
      task(0);
  }

  const u64 id_;
  const Source source_;
  mutable std::once_flag once_[3];  // single, lanes by a plan, lanes gate by gate
  mutable Ready ready_[3];
};

}  // namespace

std::unique_ptr<Engine> make_engine(Source source, bool double_precision) {
  validate(source);
  if (double_precision) return std::make_unique<EngineOf<double>>(std::move(source));
  return std::make_unique<EngineOf<float>>(std::move(source));
}

}  // namespace ketgrad
