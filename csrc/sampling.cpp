#include "sampling.hpp"

#include <algorithm>

#include "parallel.hpp"

namespace ketgrad {

namespace {

using u64 = std::uint64_t;

constexpr u64 kChunks = 64;          // of a state, for partial sums
constexpr int kMaxPartialBits = 12;  // up to here each chunk tallies all outcomes by itself

template <typename Real>
double weight(const Real* state, u64 i) {
  const double re = static_cast<double>(state[2 * i]), im = static_cast<double>(state[2 * i + 1]);
  return re * re + im * im;
}

// Moves the listed bits of an index together, byte by byte through a table.
class Gather {
 public:
  explicit Gather(const std::vector<int>& bits) : table_(8 * 256, 0) {
    for (std::size_t position = 0; position < bits.size(); ++position) {
      const int bit = bits[bits.size() - 1 - position];
      for (u64 byte = 0; byte < 256; ++byte)
        if (byte >> (bit % 8) & 1) table_[static_cast<u64>(bit / 8) * 256 + byte] |= u64{1} << position;
    }
  }
  u64 operator()(u64 index) const {
    u64 out = 0;
    for (u64 b = 0; index; ++b, index >>= 8) out |= table_[b * 256 + (index & 255)];
    return out;
  }

 private:
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

template <typename Real>
void row_sample(const Real* state, u64 size, const double* uniforms, u64 shots, u64* out,
                std::vector<double>& cumulative, Watch& watch) {
  const u64 block = std::min(size, kSampleBlock), blocks = size / block;
  cumulative.resize(blocks);
  const u64 parts = std::clamp<u64>(blocks / 16, 1, kChunks);
  chunks(parts, size / parts * 2, watch, [&](u64 t) {
    for (u64 b = blocks * t / parts; b < blocks * (t + 1) / parts; ++b) {
      double sum = 0;
      for (u64 i = b * block; i < (b + 1) * block; ++i) sum += weight(state, i);
      cumulative[b] = sum;
    }
  });
  u64 last = 0;  // last block with any weight
  double total = 0;
  for (u64 b = 0; b < blocks; ++b) {
    if (cumulative[b] > 0) last = b;
    total += cumulative[b];
    cumulative[b] = total;
  }
  const u64 groups = std::clamp<u64>(shots / 1024, 1, kChunks);
  chunks(groups, shots / groups * 150, watch, [&](u64 t) {
    for (u64 s = shots * t / groups; s < shots * (t + 1) / groups; ++s) {
      const double u = uniforms[s] * total;
      const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), u);
      const u64 b = std::min(static_cast<u64>(found - cumulative.begin()), last);
      double sum = b ? cumulative[b - 1] : 0.0;
      u64 chosen = b * block;
      // rounding may leave u beyond the block's own sum: then the last amplitude with any weight is drawn
      for (u64 i = b * block; i < (b + 1) * block; ++i) {
        const double w = weight(state, i);
        if (w == 0) continue;
        chosen = i;
        sum += w;
        if (sum > u) break;
      }
      out[s] = chosen;
    }
  });
}

}  // namespace

template <typename Real>
void probabilities(const Real* states, u64 rows, int n_bits, const std::vector<int>& bits, double* out,
                   const Poll& poll) {
  Watch watch(poll);
  const Gather gather(bits);
  for (u64 r = 0; r < rows; ++r)
    row_probabilities(states + (r << (n_bits + 1)), u64{1} << n_bits, gather, bits, out + (r << bits.size()), watch);
}

template <typename Real>
void sample(const Real* states, u64 rows, int n_bits, const double* uniforms, u64 shots, u64* out, const Poll& poll) {
  Watch watch(poll);
  const u64 size = u64{1} << n_bits;
  // many small rows are shared out whole; a row inside a task then finds the pool busy and runs by itself
  const u64 tasks = std::min<u64>(rows, 256);
  auto task = [&](u64 t) {
    std::vector<double> cumulative;
    for (u64 r = rows * t / tasks; r < rows * (t + 1) / tasks; ++r)
      row_sample(states + (r << (n_bits + 1)), size, uniforms + r * shots, shots, out + r * shots, cumulative, watch);
  };
  if (tasks > 1)
    parallel_for(tasks, watch, task);
  else if (rows)
    task(0);
}

template void probabilities(const float*, u64, int, const std::vector<int>&, double*, const Poll&);
template void probabilities(const double*, u64, int, const std::vector<int>&, double*, const Poll&);
template void sample(const float*, u64, int, const double*, u64, u64*, const Poll&);
template void sample(const double*, u64, int, const double*, u64, u64*, const Poll&);

}  // namespace ketgrad
