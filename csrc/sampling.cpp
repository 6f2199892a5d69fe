#include "sampling.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "parallel.hpp"

namespace ketgrad {

namespace {

using u64 = std::uint64_t;

constexpr u64 kChunks = 64;          // of a state, for partial sums
constexpr u64 kPiece = 1 << 13;      // shots between two looks at the watch
constexpr u64 kTogether = 64;        // shots whose amplitudes are asked for together
constexpr int kMaxPartialBits = 12;  // up to here each chunk tallies all outcomes by itself

template <typename Real>
double weight(const Real* state, u64 i) {
  const double re = static_cast<double>(state[2 * i]), im = static_cast<double>(state[2 * i + 1]);
  return re * re + im * im;
}

// Moves the listed bits of an index together: by a shift where they are neighbours, else byte by byte through a table.
class Gather {
 public:
  Gather(const std::vector<int>& bits, int n_bits) : bytes_((n_bits + 7) / 8), mask_((u64{1} << bits.size()) - 1) {
    neighbours_ = !bits.empty();
    for (std::size_t p = 1; p < bits.size(); ++p) neighbours_ = neighbours_ && bits[p] == bits[p - 1] - 1;
    if (neighbours_) {
      shift_ = bits.back();
      return;
    }
    table_.resize(static_cast<std::size_t>(bytes_) * 256);
    for (std::size_t position = 0; position < bits.size(); ++position) {
      const int bit = bits[bits.size() - 1 - position];
      for (u64 byte = 0; byte < 256; ++byte)
        if (byte >> (bit % 8) & 1) table_[static_cast<u64>(bit / 8) * 256 + byte] |= u64{1} << position;
    }
  }
  u64 operator()(u64 index) const {
    if (neighbours_) return index >> shift_ & mask_;
    u64 out = 0;
    for (int b = 0; b < bytes_; ++b, index >>= 8) out |= table_[static_cast<std::size_t>(b) * 256 + (index & 255)];
    return out;
  }

 private:
  int bytes_, shift_ = 0;
  u64 mask_;
  bool neighbours_;
  std::vector<u64> table_;
};

template <typename F>
void chunks(u64 count, u64 work, Watch& watch, F f) {
  auto task = [&](u64 t) {
    f(t);
    watch.tick(work);
  };
  if (work * count > 100'000)
    parallel_for(count, watch, task);
  else
    for (u64 t = 0; t < count; ++t) task(t);
}

// work(lo, hi) for consecutive pieces of `count` things of `each` nanoseconds.
template <typename F>
void pieces(u64 count, u64 each, Watch& watch, F work) {
  const u64 parts = (count + kPiece - 1) / kPiece;
  chunks(parts, std::min(count, kPiece) * each, watch,
         [&](u64 t) { work(t * kPiece, std::min(count, (t + 1) * kPiece)); });
}

// The same in order, on this thread.
template <typename F>
void serial_pieces(u64 count, Watch& watch, F work) {
  for (u64 lo = 0; lo < count; lo += kPiece, watch.tick(kPiece * 2)) work(lo, std::min(count, lo + kPiece));
}

template <typename Real>
void row_probabilities(const Real* state, u64 size, const Gather& gather, const std::vector<int>& bits, double* out,
                       Watch& watch) {
  const u64 outcomes = u64{1} << bits.size(), parts = std::clamp<u64>(size / 4096, 1, kChunks);
  std::fill(out, out + outcomes, 0.0);
  if (static_cast<int>(bits.size()) <= kMaxPartialBits) {
    std::vector<double> partial(parts * outcomes, 0.0);
    chunks(parts, size / parts * 3, watch, [&](u64 t) {
      double* mine = partial.data() + t * outcomes;
      for (u64 i = size * t / parts; i < size * (t + 1) / parts; ++i) mine[gather(i)] += weight(state, i);
    });
    for (u64 t = 0; t < parts; ++t)
      for (u64 o = 0; o < outcomes; ++o) out[o] += partial[t * outcomes + o];
    return;
  }
  // many outcomes: every outcome is summed by one task, over the unlisted bits in ascending order
  u64 listed = 0;
  for (const int b : bits) listed |= u64{1} << b;
  const u64 rest = (size - 1) & ~listed, per = outcomes / kChunks;
  chunks(kChunks, size / kChunks * 8, watch, [&](u64 t) {
    for (u64 o = t * per; o < (t + 1) * per; ++o) {
      u64 base = 0;
      for (std::size_t p = 0; p < bits.size(); ++p)
        if (o >> (bits.size() - 1 - p) & 1) base |= u64{1} << bits[p];
      double sum = 0;
      u64 free = 0;
      do {
        sum += weight(state, base | free);
        free = (free - rest) & rest;  // next subset of the unlisted bits
      } while (free);
      out[o] = sum;
    }
  });
}

// Inverts the cumulative distribution of one state. Sums of blocks of amplitudes are searched from where a guide table
// (Chen and Asau 1974) says, so that a step or two are left; within a block the amplitudes themselves are added up.
// Where shots outnumber amplitudes every block is one of them.
template <typename Real>
class Inverse {
 public:
  void build(const Real* state, u64 size, u64 shots, Watch& watch) {
    state_ = state;
    const u64 wanted = std::max(size / (2 * std::max<u64>(shots, 1)), size >> kMaxEntryBits);
    block_ = std::min(size, std::bit_floor(std::clamp<u64>(wanted, 1, kMaxBlock)));
    const u64 entries = size / block_, parts = std::clamp<u64>(size / 4096, 1, std::min(entries, kChunks));
    ends_.assign(entries + kWindow, std::numeric_limits<double>::infinity());
    auto first = [&](u64 t) { return entries * t / parts; };
    chunks(parts, size / parts * 2, watch, [&](u64 t) {
      double running = 0;
      for (u64 j = first(t); j < first(t + 1); ++j) ends_[j] = running += block_sum(j);
    });
    // the last of each part first, so that the parts can follow side by side
    for (u64 t = 1; t < parts; ++t) ends_[first(t + 1) - 1] += ends_[first(t) - 1];
    chunks(parts - 1, entries / parts, watch, [&](u64 t) {
      for (u64 j = first(t + 1); j < first(t + 2) - 1; ++j) ends_[j] += ends_[first(t + 1) - 1];
    });
    total_ = ends_[entries - 1];
    last_ = entries - 1;
    last_ = search(0, std::nextafter(total_, 0.0));
    build_guide(std::min(entries, std::bit_ceil(std::max<u64>(shots, 1))), watch);
  }

  // found[s] = the index for uniforms[s], s < count <= kTogether.
  void find(const double* uniforms, u64 count, u64* found) const {
    for (u64 s = 0; s < count; ++s) found[s] = entry(uniforms[s]);
    if (block_ == 1) return;
    // large states are far away: ask for the amplitudes of all shots before the first is looked at
    for (u64 s = 0; s < count; ++s) __builtin_prefetch(state_ + 2 * block_ * found[s]);
    for (u64 s = 0; s < count; ++s) found[s] = within(found[s], uniforms[s] * total_);
  }

 private:
  static constexpr u64 kMaxBlock = 256, kWindow = 4;
  static constexpr int kMaxEntryBits = 20;  // more entries than these only for blocks of kMaxBlock

  u64 entry(double u) const {
    const double target = u * total_;
    // also for what is no number from 0 to 1, for safety
    const double bucket = std::min(std::max(0.0, u * buckets_), buckets_ - 1);
    const u64 low = guide_[static_cast<std::size_t>(bucket)];
    u64 j = low;
    for (u64 d = 0; d < kWindow; ++d) j += ends_[low + d] <= target;  // no branch to foretell
    if (j == low + kWindow) j = search(std::min(j, last_), target);
    return std::min(j, last_);
  }

  double block_sum(u64 j) const {
    const u64 begin = j * block_;
    if (block_ < 4) {
      double sum = weight(state_, begin);
      for (u64 i = begin + 1; i < begin + block_; ++i) sum += weight(state_, i);
      return sum;
    }
    double sum[4] = {};  // four at a time: an addition takes four cycles
    for (u64 i = begin; i < begin + block_; i += 4)
      for (u64 l = 0; l < 4; ++l) sum[l] += weight(state_, i + l);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }

  // guide_[g]: how many blocks end before u = g / buckets; one that ends there but for rounding is left to the search.
  void build_guide(u64 buckets, Watch& watch) {
    buckets_ = static_cast<double>(buckets);
    guide_.assign(buckets, 0);
    const double scale = buckets_ / total_ * (1 + 0x1p-50);
    serial_pieces(last_, watch, [&](u64 lo, u64 hi) {
      for (u64 j = lo; j < hi; ++j) {
        const double next = std::min(std::max(0.0, ends_[j] * scale), buckets_) + 1;
        if (next < buckets_) guide_[static_cast<std::size_t>(next)] = static_cast<std::uint32_t>(j + 1);
      }
    });
    serial_pieces(buckets - 1, watch, [&](u64 lo, u64 hi) {
      for (u64 g = lo; g < hi; ++g) guide_[g + 1] = std::max(guide_[g + 1], guide_[g]);
    });
  }

  // The first block from `low` on that ends beyond the target, at most the last with any weight.
  u64 search(u64 low, double target) const {
    const auto at = [&](u64 j) { return ends_.begin() + static_cast<std::ptrdiff_t>(j); };
    return static_cast<u64>(std::upper_bound(at(low), at(last_), target) - ends_.begin());
  }

  u64 within(u64 j, double target) const {
    double sum = j ? ends_[j - 1] : 0.0;
    u64 chosen = j * block_;
    // rounding may leave the target beyond the block's own sum: then the last amplitude with any weight is drawn
    for (u64 i = j * block_; i < (j + 1) * block_; ++i) {
      const double w = weight(state_, i);
      if (w == 0) continue;
      chosen = i;
      sum += w;
      if (sum > target) break;
    }
    return chosen;
  }

  const Real* state_ = nullptr;
  u64 block_ = 1, last_ = 0;  // amplitudes of a block; the last block with any weight
  double total_ = 0, buckets_ = 1;
  std::vector<double> ends_;          // cumulative sums at the ends of blocks, then kWindow infinities
  std::vector<std::uint32_t> guide_;  // 2^32 blocks of kMaxBlock are more than any memory holds
};

// What a task needs to draw from one row after the other.
template <typename Real>
struct Draws {
  Inverse<Real> inverse;

  void row(const Real* state, u64 size, const double* uniforms, u64 shots, const Gather& gather, u64* out,
           Watch& watch) {
    inverse.build(state, size, shots, watch);
    pieces(shots, 10, watch, [&](u64 lo, u64 hi) {
      for (u64 s = lo; s < hi; s += kTogether) {
        const u64 count = std::min(kTogether, hi - s);
        inverse.find(uniforms + s, count, out + s);
        for (u64 i = s; i < s + count; ++i) out[i] = gather(out[i]);
      }
    });
  }
};

// Tallies outcomes below 2^bits: in a table where that is short beside the shots, else by sorting them.
class Tallies {
 public:
  Tally operator()(std::vector<u64>& drawn, std::size_t bits, Watch& watch) {
    const u64 outcomes = u64{1} << bits;
    return outcomes <= drawn.size() + 64 ? by_table(drawn, outcomes, watch) : by_sorting(drawn, bits, watch);
  }

 private:
  static constexpr std::size_t kDigit = 11;

  Tally by_table(const std::vector<u64>& drawn, u64 size, Watch& watch) {
    Tally out;
    table_.assign(size, 0);
    serial_pieces(drawn.size(), watch, [&](u64 lo, u64 hi) {
      for (u64 s = lo; s < hi; ++s) ++table_[drawn[s]];
    });
    for (u64 o = 0; o < size; ++o) {
      if (!table_[o]) continue;
      out.outcomes.push_back(o);
      out.counts.push_back(table_[o]);
    }
    return out;
  }

  Tally by_sorting(std::vector<u64>& drawn, std::size_t bits, Watch& watch) {
    Tally out;
    spare_.resize(drawn.size());
    for (std::size_t shift = 0; shift < bits; shift += kDigit) {
      u64 places[1 << kDigit] = {};
      const auto digit = [&](u64 outcome) { return outcome >> shift & ((1 << kDigit) - 1); };
      serial_pieces(drawn.size(), watch, [&](u64 lo, u64 hi) {
        for (u64 s = lo; s < hi; ++s) ++places[digit(drawn[s])];
      });
      u64 place = 0;
      for (u64& p : places) place += std::exchange(p, place);
      serial_pieces(drawn.size(), watch, [&](u64 lo, u64 hi) {
        for (u64 s = lo; s < hi; ++s) spare_[places[digit(drawn[s])]++] = drawn[s];
      });
      drawn.swap(spare_);
    }
    for (const u64 outcome : drawn) {
      if (out.outcomes.empty() || out.outcomes.back() != outcome) {
        out.outcomes.push_back(outcome);
        out.counts.push_back(0);
      }
      ++out.counts.back();
    }
    return out;
  }

  std::vector<u64> table_, spare_;
};

// Calls row(scratch, r) for all rows, of `work` nanoseconds each: side by side with a scratch for each task, where a
// row finds the pool busy and runs by itself, or, few large ones, one after the other.
template <typename Scratch, typename F>
void each_row(u64 rows, u64 work, Watch& watch, F row) {
  const FlushDenormals flush;  // here and in the pool alike
  const bool large = work > 1'000'000 && rows < 4 * static_cast<u64>(num_threads());
  const u64 tasks = large ? 1 : std::min<u64>(rows, 256);
  auto task = [&](u64 t) {
    Scratch scratch;
    for (u64 r = rows * t / tasks; r < rows * (t + 1) / tasks; ++r) row(scratch, r);
  };
  if (tasks > 1)
    chunks(tasks, rows / tasks * work, watch, task);
  else if (rows)
    task(0);
}

}  // namespace

template <typename Real>
void probabilities(const Real* states, u64 rows, int n_bits, const std::vector<int>& bits, double* out,
                   const Poll& poll) {
  Watch watch(poll);
  const Gather gather(bits, n_bits);
  for (u64 r = 0; r < rows; ++r)
    row_probabilities(states + (r << (n_bits + 1)), u64{1} << n_bits, gather, bits, out + (r << bits.size()), watch);
}

template <typename Real>
void sample(const Real* states, u64 rows, int n_bits, const double* uniforms, u64 shots, const std::vector<int>& bits,
            u64* out, const Poll& poll) {
  Watch watch(poll);
  const Gather gather(bits, n_bits);
  const u64 size = u64{1} << n_bits;
  each_row<Draws<Real>>(rows, 2 * size + 10 * shots, watch, [&](Draws<Real>& draws, u64 r) {
    draws.row(states + 2 * size * r, size, uniforms + r * shots, shots, gather, out + r * shots, watch);
  });
}

template <typename Real>
std::vector<Tally> counts(const Real* states, u64 rows, int n_bits, const double* uniforms, u64 shots,
                          const std::vector<int>& bits, const Poll& poll) {
  struct Scratch {
    Draws<Real> draws;
    Tallies tallies;
    std::vector<u64> drawn;
  };
  Watch watch(poll);
  const Gather gather(bits, n_bits);
  const u64 size = u64{1} << n_bits;
  std::vector<Tally> out(rows);
  each_row<Scratch>(rows, 2 * size + 12 * shots, watch, [&](Scratch& scratch, u64 r) {
    scratch.drawn.resize(shots);
    scratch.draws.row(states + 2 * size * r, size, uniforms + r * shots, shots, gather, scratch.drawn.data(), watch);
    out[r] = scratch.tallies(scratch.drawn, bits.size(), watch);
  });
  return out;
}

using Bits = std::vector<int>;
template void probabilities(const float*, u64, int, const Bits&, double*, const Poll&);
template void probabilities(const double*, u64, int, const Bits&, double*, const Poll&);
template void sample(const float*, u64, int, const double*, u64, const Bits&, u64*, const Poll&);
template void sample(const double*, u64, int, const double*, u64, const Bits&, u64*, const Poll&);
template std::vector<Tally> counts(const float*, u64, int, const double*, u64, const Bits&, const Poll&);
template std::vector<Tally> counts(const double*, u64, int, const double*, u64, const Bits&, const Poll&);

}  // namespace ketgrad
