#include "anneal.hpp"

#include <algorithm>
#include <cmath>

#include "buffer.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"

namespace ketgrad {

namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i32 = std::int32_t;

// Threefry-2x32-13, as in anneal.inc.hpp.
RandomKey threefry(RandomKey key, u32 a, u32 b) {
  const u32 keys[3] = {key.a, key.b, 0x1BD11BDAu ^ key.a ^ key.b};
  constexpr int kTurns[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  a += keys[0];
  b += keys[1];
  for (u32 round = 0; round < 13; ++round) {
    const int by = kTurns[round / 4 % 2][round % 4];
    a += b;
    b = (b << by | b >> (32 - by)) ^ a;
    if (round % 4 == 3) {
      const u32 q = round / 4 + 1;
      a += keys[q % 3];
      b += keys[(q + 1) % 3] + q;
    }
  }
  return {a, b};
}

// Sweeps of a single model's reads, `kLanes` at a time. Lanes without a read have fields so strong that their spins
// keep still, and cost no time.
template <typename T, int kLanes>
class Group {
  static constexpr i32 kFrozen = sizeof(T) == 1 ? 127 : 1 << 30;

 public:
  Group(const SpinModel& model, const ReadRange& reads, u64 first)
      : model_(model),
        reads_(reads),
        first_(first),
        memory_(2 * sizeof(T) * kLanes * u64{model.n}) {
    for (int l = 0; l < kLanes; ++l) start(l);
    for (u32 i = 0; i < model.n; ++i) start_fields(i);
  }

  T* fields() const { return memory_.as<T>(); }
  T* signs() const { return fields() + u64{model_.n} * kLanes; }

  void write(i8* spins) const {
    for (int l = 0; l < kLanes; ++l) {
      const u64 read = first_ + static_cast<u64>(l) - reads_.first;
      if (read >= reads_.count) continue;
      i8* to = spins + read * model_.n;
      for (u32 i = 0; i < model_.n; ++i) to[i] = signs()[u64{i} * kLanes + static_cast<u64>(l)] ? -1 : 1;
    }
  }

 private:
  bool wanted(int l) const { return first_ + static_cast<u64>(l) - reads_.first < reads_.count; }

  void start(int l) {
    const u64 number = first_ + static_cast<u64>(l), row = number - reads_.first;
    T* to = signs() + l;
    if (!wanted(l)) {
      for (u32 i = 0; i < model_.n; ++i) to[u64{i} * kLanes] = 0;
      return;
    }
    if (row < reads_.given) {
      for (u32 i = 0; i < model_.n; ++i) to[u64{i} * kLanes] = reads_.initial[row * model_.n + i] < 0 ? -1 : 0;
      return;
    }
    RandomSpins random(random_key(reads_.seed, number, Purpose::Start));
    for (u32 i = 0; i < model_.n; ++i) to[u64{i} * kLanes] = random(i) ? -1 : 0;
  }

  void start_fields(u32 i) {
    i32 sum[kLanes];
    std::fill_n(sum, kLanes, -model_.fields[i]);
    for (u32 e = model_.starts[i]; e < model_.starts[i + 1]; ++e) {
      const T* s = signs() + u64{model_.neighbours[e]} * kLanes;
      for (int l = 0; l < kLanes; ++l) sum[l] -= model_.couplings[e] * (1 + 2 * static_cast<i32>(s[l]));
    }
    for (int l = 0; l < kLanes; ++l)
      fields()[u64{i} * kLanes + static_cast<u64>(l)] = static_cast<T>(wanted(l) ? sum[l] : kFrozen);
  }

  const SpinModel& model_;
  const ReadRange& reads_;
  u64 first_;
  Buffer memory_;
};

// exp(-2 beta k), from exp(-2 beta) by multiplication alone: the same numbers on every machine.
Thresholds thresholds_of(double ratio, int most) {
  Thresholds out{};
  double p = 1;
  for (int k = 0; k <= most && p >= 0x1p-32; ++k, p *= ratio) {
    const u32 t = static_cast<u32>(std::min(p * 0x1p32, 4294967295.0));
    for (int b = 0; b < 4; ++b)
      out.bytes[b][k / kTableLevels][k % kTableLevels] = static_cast<std::uint8_t>(t >> (24 - 8 * b));
    out.tables = k / kTableLevels + 1;
  }
  return out;
}

struct NarrowModel {
  std::vector<u32> run_starts, neighbours;
  std::vector<CouplingRun> runs;
  int most = 0;  // the largest field that there can be

  explicit NarrowModel(const SpinModel& model) : run_starts{0}, neighbours(model.neighbours) {
    std::vector<std::pair<i32, u32>> row;
    for (u32 i = 0; i < model.n; ++i) {
      row.clear();
      int bound = std::abs(model.fields[i]);
      for (u32 e = model.starts[i]; e < model.starts[i + 1]; ++e) {
        row.emplace_back(model.couplings[e], model.neighbours[e]);
        bound += std::abs(model.couplings[e]);
      }
      most = std::max(most, bound);
      std::sort(row.begin(), row.end());
      for (u32 k = 0; k < row.size(); ++k) {
        const u32 e = model.starts[i] + k;
        neighbours[e] = row[k].second;
        if (k + 1 == row.size() || row[k + 1].first != row[k].first) runs.push_back({e + 1, 2 * row[k].first});
      }
      run_starts.push_back(static_cast<u32>(runs.size()));
    }
  }
  NarrowGraph graph() const {
    return {static_cast<u32>(run_starts.size()) - 1, run_starts.data(), runs.data(), neighbours.data()};
  }
};

// Calls sweep(step, number of the sweep) for all sweeps of a group, with an eye on the watch.
template <typename F>
void all_sweeps(const Cooling& cooling, u64 work, Watch& watch, F sweep) {
  u32 number = 0;
  for (u64 step = 0; step < cooling.steps; ++step)
    for (u64 k = 0; k < cooling.sweeps; ++k, ++number) {
      watch.tick(work);
      sweep(step, k == 0, number);
    }
}

void anneal_narrow(const SpinModel& model, const Cooling& cooling, const ReadRange& reads, i8* spins, Watch& watch) {
  const NarrowModel narrow(model);
  const NarrowGraph graph = narrow.graph();
  const AnnealTable& table = kernels().anneal;
  const u64 first = reads.first / kNarrowLanes, last = (reads.first + reads.count + kNarrowLanes - 1) / kNarrowLanes;
  parallel_for(last - first, watch, [&](u64 task) {
    constexpr int kKeys = kNarrowLanes / kReadsPerKey;
    const u64 begin = (first + task) * kNarrowLanes;
    const Group<i8, kNarrowLanes> group(model, reads, begin);
    alignas(64) u32 keys[2 * kKeys];
    for (int q = 0; q < kKeys; ++q) {
      const RandomKey key = random_key(reads.seed, begin / kReadsPerKey + static_cast<u64>(q), Purpose::Narrow);
      keys[q] = key.a;
      keys[kKeys + q] = key.b;
    }
    Thresholds limits{};
    all_sweeps(cooling, 40 * u64{model.n}, watch, [&](u64 step, bool fresh, u32 number) {
      if (fresh) limits = thresholds_of(cooling.rates[step], narrow.most);
      table.narrow(graph, limits, keys, number, group.fields(), group.signs());
    });
    group.write(spins);
  });
}

void anneal_wide(const SpinModel& model, const Cooling& cooling, const ReadRange& reads, i8* spins, Watch& watch) {
  std::vector<i32> twice;
  const WideGraph graph = model.wide(twice);
  const AnnealTable& table = kernels().anneal;
  parallel_for((reads.count + kWideLanes - 1) / kWideLanes, watch, [&](u64 task) {
    const u64 begin = reads.first + task * kWideLanes;
    const Group<i32, kWideLanes> group(model, reads, begin);
    alignas(64) u32 keys[2 * kWideLanes];
    for (int l = 0; l < kWideLanes; ++l) {
      const RandomKey key = random_key(reads.seed, begin + static_cast<u64>(l), Purpose::Wide);
      keys[l] = key.a;
      keys[kWideLanes + l] = key.b;
    }
    all_sweeps(cooling, 40 * u64{model.n}, watch, [&](u64 step, bool, u32 number) {
      const WideStep now{static_cast<float>(cooling.rates[step]), 0};
      table.wide(graph, now, keys, number, group.fields(), group.signs());
    });
    group.write(spins);
  });
}

}  // namespace

RandomKey random_key(u64 seed, u64 index, Purpose purpose) {
  const RandomKey from{static_cast<u32>(seed), static_cast<u32>(seed >> 32)};
  return threefry(from, static_cast<u32>(index), static_cast<u32>(index >> 32) << 8 | static_cast<u32>(purpose));
}

bool RandomSpins::operator()(u32 i) {
  if (i % 64 == 0) {
    const RandomKey words = threefry(key_, i / 64, 0);
    bits_ = words.a | u64{words.b} << 32;
  }
  return bits_ >> (i % 64) & 1;
}

WideGraph SpinModel::wide(std::vector<i32>& twice) const {
  twice.resize(couplings.size());
  std::transform(couplings.begin(), couplings.end(), twice.begin(), [](i32 j) { return 2 * j; });
  return {n, starts.data(), neighbours.data(), twice.data()};
}

void anneal(const SpinModel& model, const Cooling& cooling, const ReadRange& reads, i8* spins,
            const std::function<void()>& poll) {
  Watch watch(poll);
  (cooling.narrow ? anneal_narrow : anneal_wide)(model, cooling, reads, spins, watch);
}

}  // namespace ketgrad
