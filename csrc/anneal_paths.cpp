#include <algorithm>
#include <limits>
#include <numeric>

#include "anneal.hpp"
#include "buffer.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"

namespace ketgrad {

namespace {

using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

// Lanes of a site: even slices, then odd ones; lane q * reads + r of a half is its slice q of read r. Among the signs
// the first even slices of the reads are repeated behind the even half, and the last odd ones before the odd half, so
// that the neighbours in time of a half are two stretches of the other.
LineLayout layout_of(u32 slices) {
  const u32 reads = 32 / std::gcd(slices, 32u), lanes = slices / 2 * reads, stride = 2 * lanes + 2 * reads;
  const u32 odd = lanes + 2 * reads;
  return {reads,
          {{lanes, 2 * lanes, stride, 0, 0, odd, odd - reads, 0, lanes, reads},
           {lanes, 2 * lanes, stride, lanes, odd, 0, reads, odd + lanes - reads, lanes + reads, reads}}};
}

class Paths {
 public:
  Paths(const SpinModel& model, const PathSchedule& schedule, const ReadRange& reads, u64 first)
      : model_(model),
        schedule_(schedule),
        reads_(reads),
        first_(first),
        at_(layout_of(schedule.slices)),
        lanes_(at_.halves[0].lanes),
        memory_(sizeof(i32) * u64{model.n} * (2 * lanes_ + at_.halves[0].sign_stride)),
        spare_(lanes_),
        energy_(2 * lanes_),
        means_(at_.reads),
        magnetisations_(at_.reads) {
    for (u32 h = 0; h < 2; ++h) {
      slice_keys_[h].resize(2 * lanes_);
      for (u32 l = 0; l < lanes_; ++l) start(h, l);
    }
    for (u32 l = 0; l < kWideLanes; ++l) {
      const RandomKey key = random_key(reads.seed, first + l % at_.reads, Purpose::Line);
      line_keys_[l] = key.a;
      line_keys_[kWideLanes + l] = key.b;
    }
    for (u32 i = 0; i < model.n; ++i) start_site(i);
  }

  void run(const WideGraph& graph, Watch& watch) {
    const AnnealTable& table = kernels().anneal;
    for (u64 k = 0; k < schedule_.count; ++k) {
      const WideStep& step = schedule_.steps[k];
      const u32 sweep = static_cast<u32>(k);
      for (u32 h = 0; h < 2; ++h) {
        watch.tick(u64{model_.n} * lanes_ * 4);
        table.slices(graph, at_.halves[h], step, slice_keys_[h].data(), sweep, spare_.data(), fields(), signs());
      }
      if (schedule_.lines) table.lines(graph, at_, step, line_keys_, sweep, fields(), signs());
      if (schedule_.count - k <= schedule_.measured) measure(schedule_.kept[k], schedule_.broken[k]);
    }
  }

  void write(i8* spins, double* energies, double* magnetisations) {
    slice_energies();
    for (u32 r = 0; r < at_.reads; ++r) {
      const u64 row = first_ - reads_.first + r;
      if (row >= reads_.count) continue;
      u32 best = 0;
      for (u32 p = 1; p < schedule_.slices; ++p)
        if (energy_[lane(p, r)] < energy_[lane(best, r)]) best = p;
      const WideLayout& half = at_.halves[best % 2];
      const i32* s = signs() + half.sign_at + best / 2 * at_.reads + r;
      for (u32 i = 0; i < model_.n; ++i) spins[row * model_.n + i] = s[u64{i} * half.sign_stride] ? -1 : 1;
      energies[row] = means_[r] / static_cast<double>(schedule_.measured);
      magnetisations[row] = magnetisations_[r] / static_cast<double>(schedule_.measured);
    }
  }

 private:
  i32* fields() const { return memory_.as<i32>(); }
  i32* signs() const { return fields() + u64{model_.n} * 2 * lanes_; }
  u32 lane(u32 slice, u32 read) const { return slice % 2 * lanes_ + slice / 2 * at_.reads + read; }

  void start(u32 h, u32 l) {
    const u64 number = first_ + l % at_.reads, row = number - reads_.first;
    const u64 index = number * schedule_.slices + 2 * (l / at_.reads) + h;
    const RandomKey key = random_key(reads_.seed, index, Purpose::Slice);
    slice_keys_[h][l] = key.a;
    slice_keys_[h][lanes_ + l] = key.b;
    i32* to = signs() + at_.halves[h].sign_at + l;
    RandomSpins random(random_key(reads_.seed, index, Purpose::Start));
    for (u32 i = 0; i < model_.n; ++i)
      to[u64{i} * at_.halves[h].sign_stride] =
          row < reads_.count && (row < reads_.given ? reads_.initial[row * model_.n + i] < 0 : random(i)) ? -1 : 0;
  }

  void start_site(u32 i) {
    for (const WideLayout& half : at_.halves) {
      i32* s = signs() + u64{i} * half.sign_stride;
      std::copy_n(s + half.pad_from, half.pad, s + half.pad_to);
      i32* f = fields() + u64{i} * half.field_stride + half.field_at;
      std::fill_n(f, lanes_, -model_.fields[i]);
      for (u32 e = model_.starts[i]; e < model_.starts[i + 1]; ++e) {
        const i32* other = signs() + u64{model_.neighbours[e]} * half.sign_stride + half.sign_at;
        for (u32 l = 0; l < lanes_; ++l) f[l] -= model_.couplings[e] * (1 + 2 * other[l]);
      }
      for (u32 l = 0; l < lanes_; ++l)  // lanes without a read keep still
        if (first_ - reads_.first + l % at_.reads >= reads_.count)
          f[l] = (1 << 30) / static_cast<i32>(schedule_.slices);
    }
  }

  // Twice the energy of every lane: sum of s (h - g).
  void slice_energies() {
    std::fill(energy_.begin(), energy_.end(), 0);
    for (u32 i = 0; i < model_.n; ++i)
      for (u32 h = 0; h < 2; ++h) {
        const WideLayout& half = at_.halves[h];
        const i32* s = signs() + u64{i} * half.sign_stride + half.sign_at;
        const i32* f = fields() + u64{i} * half.field_stride + half.field_at;
        i64* to = energy_.data() + u64{h} * lanes_;
        for (u32 l = 0; l < lanes_; ++l) to[l] += ((model_.fields[i] - f[l]) ^ s[l]) - s[l];
      }
  }

  void measure(double kept, double broken) {
    slice_energies();
    std::vector<i64> breaks(at_.reads, 0);
    const WideLayout& even = at_.halves[0];
    for (u32 i = 0; i < model_.n; ++i) {
      const i32* s = signs() + u64{i} * even.sign_stride;
      for (u32 l = 0; l < lanes_; ++l) breaks[l % at_.reads] -= (s[l] ^ s[even.near + l]) + (s[l] ^ s[even.far + l]);
    }
    const double bonds = static_cast<double>(u64{model_.n} * schedule_.slices);
    for (u32 r = 0; r < at_.reads; ++r) {
      i64 sum = 0;
      for (u32 p = 0; p < schedule_.slices; ++p) sum += energy_[lane(p, r)];
      means_[r] += 0.5 * static_cast<double>(sum) / schedule_.slices;
      const double share = static_cast<double>(breaks[r]) / bonds;
      magnetisations_[r] += kept * (1 - share) + broken * share;
    }
  }

  const SpinModel& model_;
  const PathSchedule& schedule_;
  const ReadRange& reads_;
  u64 first_;
  LineLayout at_;
  u32 lanes_;  // of a half
  Buffer memory_;
  std::vector<u32> slice_keys_[2], spare_;
  alignas(64) u32 line_keys_[2 * kWideLanes];
  std::vector<i64> energy_;
  std::vector<double> means_, magnetisations_;
};

}  // namespace

void anneal_paths(const SpinModel& model, const PathSchedule& schedule, const ReadRange& reads, i8* spins,
                  double* energies, double* magnetisations, const std::function<void()>& poll) {
  Watch watch(poll);
  std::vector<i32> twice;
  const WideGraph graph = model.wide(twice);
  const u64 together = layout_of(schedule.slices).reads;
  parallel_for((reads.count + together - 1) / together, watch, [&](u64 task) {
    Paths paths(model, schedule, reads, reads.first + task * together);
    paths.run(graph, watch);
    paths.write(spins, energies, magnetisations);
  });
}

}  // namespace ketgrad
