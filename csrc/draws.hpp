// Outcomes drawn from one state, and how the work on states and shots is cut. An outcome depends on its uniform number,
// the state and (where sums round differently) the number of shots, so shots may be taken in any order by any thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "bits.hpp"
#include "buffer.hpp"
#include "parallel.hpp"

namespace ketgrad {

inline constexpr u64 kChunks = 64;       // of a state, for partial sums
inline constexpr u64 kPiece = 1 << 13;   // shots between two looks at the watch
inline constexpr u64 kTogether = 64;     // shots whose amplitudes are asked for together
inline constexpr u64 kRound = 1 << 20;   // shots of a large state that are sorted together: 12 MiB
inline constexpr u64 kPart = 1 << 16;    // of them by one task
inline constexpr u64 kPlaces = 1 << 12;  // by which part of the state they go to
inline constexpr u64 kLarge = 1 << 21;   // bytes: states beyond it are far away

template <typename Real>
double weight(const Real* state, u64 i) {
  const double re = static_cast<double>(state[2 * i]), im = static_cast<double>(state[2 * i + 1]);
  return re * re + im * im;
}

typedef double Pair __attribute__((vector_size(2 * sizeof(double))));

template <typename Real>
Pair squares(const Real* p) {
  const Pair v = {static_cast<double>(p[0]), static_cast<double>(p[1])};
  return v * v;
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

// work(lo, hi) for consecutive pieces of `count` things of `each` nanoseconds, `size` of them in a piece.
template <typename F>
void pieces(u64 count, u64 size, u64 each, Watch& watch, F work) {
  const u64 parts = (count + size - 1) / size;
  chunks(parts, std::min(count, size) * each, watch, [&](u64 t) { work(t * size, std::min(count, (t + 1) * size)); });
}

// The same in order, on this thread.
template <typename F>
void serial_pieces(u64 count, Watch& watch, F work) {
  for (u64 lo = 0; lo < count; lo += kPiece, watch.tick(kPiece * 2)) work(lo, std::min(count, lo + kPiece));
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
    double* ends = room<double>(ends_of_, entries + kWindow);
    ends_ = ends;
    std::fill(ends + entries, ends + entries + kWindow, std::numeric_limits<double>::infinity());
    auto first = [&](u64 t) { return entries * t / parts; };
    chunks(parts, size / parts * 2, watch, [&](u64 t) {
      double running = 0;
      for (u64 j = first(t); j < first(t + 1); ++j) ends[j] = running += block_sum(j);
    });
    // the last of each part first, so that the parts can follow side by side
    for (u64 t = 1; t < parts; ++t) ends[first(t + 1) - 1] += ends[first(t) - 1];
    chunks(parts - 1, entries / parts, watch, [&](u64 t) {
      for (u64 j = first(t + 1); j < first(t + 2) - 1; ++j) ends[j] += ends[first(t + 1) - 1];
    });
    finish(entries, shots, watch);
  }

  // From the cumulative sums of single amplitudes, with room for kWindow numbers behind them.
  void adopt(double* ends, u64 size, u64 shots, Watch& watch) {
    block_ = 1;
    ends_ = ends;
    std::fill(ends + size, ends + size + kWindow, std::numeric_limits<double>::infinity());
    finish(size, shots, watch);
  }

  static constexpr u64 kWindow = 4;

  // found[s] = the index for uniforms[s], s < count <= kTogether.
  void find(const double* uniforms, u64 count, u64* found) const {
    for (u64 s = 0; s < count; ++s) found[s] = entry(uniforms[s]);
    if (block_ == 1) return;
    // large states are far away: ask for the amplitudes of all shots before the first is looked at
    const u64 bytes = std::min<u64>(2 * block_ * sizeof(Real), kAsked);
    for (u64 s = 0; s < count; ++s)
      for (u64 b = 0; b < bytes; b += 64)
        __builtin_prefetch(reinterpret_cast<const char*>(state_ + 2 * block_ * found[s]) + b);
    for (u64 s = 0; s < count; ++s) found[s] = within(found[s], uniforms[s] * total_);
  }

 private:
  static constexpr u64 kMaxBlock = 256;
  static constexpr u64 kAsked = 512;        // bytes at the start of a block; the processor itself foresees the rest
  static constexpr int kMaxEntryBits = 20;  // more entries than these only for blocks of kMaxBlock

  void finish(u64 entries, u64 shots, Watch& watch) {
    total_ = ends_[entries - 1];
    last_ = entries - 1;
    last_ = search(0, std::nextafter(total_, 0.0));
    build_guide(std::min(entries, std::bit_ceil(std::max<u64>(shots, 1))), watch);
  }

  // At least `count` numbers, whatever they are.
  template <typename T>
  static T* room(Buffer& memory, u64 count) {
    if (memory.bytes() < count * sizeof(T)) memory = Buffer(count * sizeof(T));
    return memory.as<T>();
  }

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
    Pair a{}, b{}, c{}, d{};  // of eight reals at a time: an addition takes four cycles
    for (const Real *p = state_ + 2 * begin, *end = p + 2 * block_; p < end; p += 8) {
      a += squares(p);
      b += squares(p + 2);
      c += squares(p + 4);
      d += squares(p + 6);
    }
    a = (a + b) + (c + d);
    return a[0] + a[1];
  }

  // guide_[g]: how many blocks end before u = g / buckets; one that ends there but for rounding is left to the search.
  void build_guide(u64 buckets, Watch& watch) {
    buckets_ = static_cast<double>(buckets);
    std::uint32_t* guide = room<std::uint32_t>(guide_of_, buckets);
    guide_ = guide;
    const double scale = buckets_ / total_ * (1 + 0x1p-50);
    auto bucket_after = [&](u64 j) {  // the first that begins when block j has ended
      return std::min(buckets, static_cast<u64>(std::min(std::max(0.0, ends_[j] * scale), buckets_)) + 1);
    };
    // a piece fills the buckets that begin while its blocks last: each block its first, then each what came before
    pieces(last_ + 1, kPiece, 3, watch, [&](u64 lo, u64 hi) {
      const u64 begin = lo ? bucket_after(lo - 1) : 0, end = hi <= last_ ? bucket_after(hi - 1) : buckets;
      if (begin == end) return;
      std::fill(guide + begin, guide + end, 0);
      guide[begin] = static_cast<std::uint32_t>(lo);
      for (u64 j = lo; j < std::min(hi, last_); ++j)
        if (const u64 g = bucket_after(j); g < end) guide[g] = static_cast<std::uint32_t>(j + 1);
      for (u64 g = begin + 1; g < end; ++g) guide[g] = std::max(guide[g], guide[g - 1]);
    });
  }

  // The first block from `low` on that ends beyond the target, at most the last with any weight.
  u64 search(u64 low, double target) const {
    return static_cast<u64>(std::upper_bound(ends_ + low, ends_ + last_, target) - ends_);
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
  const double* ends_ = nullptr;          // cumulative sums at the ends of blocks, then kWindow infinities
  const std::uint32_t* guide_ = nullptr;  // 2^32 blocks of kMaxBlock are more than any memory holds
  Buffer ends_of_, guide_of_;             // kept from one row to the next
};

// What a task needs to draw from one row after the other.
template <typename Real>
struct Draws {
  Inverse<Real> inverse;

  void row(const Real* state, u64 size, const double* uniforms, u64 shots, const Gather& gather, u64* out,
           Watch& watch) {
    inverse.build(state, size, shots, watch);
    if (size * 2 * sizeof(Real) > kLarge && shots >= kPlaces) return in_order(uniforms, shots, gather, out, watch);
    pieces(shots, kPiece, 10, watch, [&](u64 lo, u64 hi) {
      for (u64 s = lo; s < hi; s += kTogether) {
        const u64 count = std::min(kTogether, hi - s);
        inverse.find(uniforms + s, count, out + s);
        for (u64 i = s; i < s + count; ++i) out[i] = gather(out[i]);
      }
    });
  }

 private:
  // A round of shots at a time, sorted by the place they go to, so that the state is walked through.
  void in_order(const double* uniforms, u64 shots, const Gather& gather, u64* out, Watch& watch) {
    for (u64 first = 0; first < shots; first += kRound)
      round(uniforms + first, std::min(kRound, shots - first), gather, out + first, watch);
  }

  void round(const double* uniforms, u64 shots, const Gather& gather, u64* out, Watch& watch) {
    const u64 parts = (shots + kPart - 1) / kPart;
    const Buffer of_sorted(shots * sizeof(double)), of_shots((shots + parts * kPlaces) * sizeof(std::uint32_t));
    double* sorted = of_sorted.as<double>();
    auto* shot = of_shots.as<std::uint32_t>();
    std::uint32_t* starts = shot + shots;  // (parts, kPlaces)
    const auto place = [&](u64 s) {
      return static_cast<u64>(std::min(std::max(0.0, uniforms[s] * kPlaces), double{kPlaces - 1}));
    };
    pieces(shots, kPart, 3, watch, [&](u64 lo, u64 hi) {
      std::uint32_t* mine = starts + lo / kPart * kPlaces;
      std::fill(mine, mine + kPlaces, 0);
      for (u64 s = lo; s < hi; ++s) ++mine[place(s)];
    });
    std::uint32_t next = 0;
    for (u64 p = 0; p < kPlaces; ++p)
      for (u64 t = 0; t < parts; ++t) next += std::exchange(starts[t * kPlaces + p], next);
    pieces(shots, kPart, 5, watch, [&](u64 lo, u64 hi) {
      std::uint32_t* mine = starts + lo / kPart * kPlaces;
      for (u64 s = lo; s < hi; ++s) {
        const std::uint32_t to = mine[place(s)]++;
        sorted[to] = uniforms[s];
        shot[to] = static_cast<std::uint32_t>(s);
      }
    });
    pieces(shots, kPiece, 15, watch, [&](u64 lo, u64 hi) {
      u64 found[kTogether];
      for (u64 s = lo; s < hi; s += kTogether) {
        const u64 count = std::min(kTogether, hi - s);
        inverse.find(sorted + s, count, found);
        for (u64 i = 0; i < count; ++i) out[shot[s + i]] = gather(found[i]);
      }
    });
  }
};

}  // namespace ketgrad
