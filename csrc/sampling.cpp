#include "sampling.hpp"

#include <algorithm>
#include <utility>

#include "draws.hpp"

namespace ketgrad {

namespace {

constexpr int kMaxPartialBits = 12;  // up to here each chunk tallies all outcomes by itself

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
