#include "shifts.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "dispatch.hpp"
#include "lane_program.hpp"
#include "shot_moments.hpp"

namespace ketgrad {

namespace {

constexpr u64 kTasks = 32;  // worth having; results depend on no row but their own, so any cut gives the same

template <typename Real>
class ShiftsOf final : public Shifts {
 public:
  static constexpr u64 lanes = kLanes<Real>;
  static constexpr u64 group = 2 * lanes;
  using Program = LaneProgram<Real>;
  using Table = KernelTable<Real>;

  explicit ShiftsOf(Source source) : source_(std::move(source)), program_(source_) {}

  void values(const Batch& batch, const ShiftRequest& request, double* out, const Poll& poll) const override {
    const Terms<Real>& terms = program_.compiled().terms;
    const u64 n_terms = terms.rows.size();
    struct Scratch {
      std::vector<double> sums;
      Buffer products;
    };
    run<Scratch>(batch, request, poll, [&](Scratch& scratch, Real* psi, const Rows& rows, Watch& watch) {
      scratch.sums.assign(static_cast<u64>(terms.first_place.back()) * lanes, 0.0);
      if (!scratch.products) scratch.products = Buffer(terms.tile * group * sizeof(Real));
      for (std::size_t m = 0; m < terms.groups.size(); ++m) {
        const TermGroup<Real>& g = terms.groups[m];
        double* at = scratch.sums.data() + static_cast<u64>(terms.first_place[m]) * lanes;
        for (u64 base = 0; base < groups(); base += g.block)
          if (!(base & g.half)) kernels().of<Real>().expect(psi, g, base, at, scratch.products.template as<Real>());
        watch.tick(groups() * 8);
      }
      for (const auto& row : terms.rows)
        for (u64 l = 0; l < lanes; ++l)
          if (rows[l] != kNone)
            out[rows[l] * n_terms + static_cast<u64>(row.term)] =
                row.value * static_cast<double>(row.lane[l]) * scratch.sums[static_cast<u64>(row.place) * lanes + l];
    });
  }

  void moments(const Batch& batch, const ShiftRequest& request, const ShotRequest& shots, double* mean,
               double* variance, const Poll& poll) const override {
    const ShotMoments<Real> measured(shots, batch.size * request.rows, source_.n_bits, mean, variance);
    run<typename ShotMoments<Real>::Scratch>(batch, request, poll,
                                             [&](auto& scratch, Real* psi, const Rows& rows, Watch& watch) {
                                               measured(scratch, psi, rows.data(), kernels().of<Real>(), watch);
                                             });
  }

 private:
  static constexpr u64 kNone = ShotMoments<Real>::kNone;
  typedef std::array<u64, lanes> Rows;  // of the result, or kNone

  // Bundles whose nodes run side by side: bundle b of them in the lanes b * chunk .. (b + 1) * chunk - 1.
  struct Tile {
    std::size_t start;  // op
    int nodes;
    std::vector<u64> bundles;
  };

  // `chunk` samples, lane l for sample l % chunk.
  struct Chunk {
    u64 first, count;
    typename Program::Slots slots;
    std::vector<typename Program::Numbers> bound;
    Buffer final;
    std::vector<Buffer> before;  // states before the first tile of each range
  };

  u64 groups() const { return program_.compiled().layout.groups; }

  // Samples of a chunk: such that lanes are full and the circuit as it is runs seldom. One such run is worth two
  // halves.
  static u64 chunk_of(u64 batch, const u64 (&bundles)[kMaxNodes]) {
    u64 best = 1, least = ~u64{0};
    for (u64 chunk = 1; chunk <= lanes; chunk *= 2) {
      u64 halves = 4;
      for (u64 n = 0; n < kMaxNodes; ++n) halves += (n + 1) * ((bundles[n] * chunk + lanes - 1) / lanes);
      const u64 cost = (batch + chunk - 1) / chunk * halves;
      if (cost < least) {
        least = cost;
        best = chunk;
      }
    }
    return best;
  }

  std::vector<Tile> tiles_of(const ShiftRequest& request, u64 batch, u64& chunk) const {
    std::vector<u64> order[kMaxNodes];
    u64 sizes[kMaxNodes];
    auto op = [&](u64 b) { return program_.op_of(static_cast<u64>(request.instruction[b])); };
    for (u64 b = 0; b < request.bundles; ++b) order[request.nodes[b] - 1].push_back(b);
    for (int n = 0; n < kMaxNodes; ++n) {
      std::stable_sort(order[n].begin(), order[n].end(), [&](u64 a, u64 b) { return op(a) < op(b); });
      sizes[n] = order[n].size();
    }
    chunk = chunk_of(batch, sizes);
    std::vector<Tile> out;
    for (int n = 0; n < kMaxNodes; ++n)
      for (u64 first = 0; first < sizes[n]; first += lanes / chunk) {
        const u64 last = std::min(sizes[n], first + lanes / chunk);
        const auto begin = order[n].begin();
        out.push_back({op(order[n][first]),
                       n + 1,
                       {begin + static_cast<std::ptrdiff_t>(first), begin + static_cast<std::ptrdiff_t>(last)}});
      }
    std::stable_sort(out.begin(), out.end(), [](const Tile& a, const Tile& b) { return a.start < b.start; });
    return out;
  }

  Chunk chunk_from(const Batch& batch, u64 first, u64 size) const {
    Chunk out{first, std::min(size, batch.size - first), {batch.shared, {}}, {}, {}, {}};
    for (u64 l = 0; l < lanes; ++l)
      out.slots.per_sample[l] =
          batch.per_sample + (first + std::min(l % size, out.count - 1)) * static_cast<u64>(source_.n_per_sample);
    out.bound = program_.bind(out.slots, static_cast<int>(size));
    return out;
  }

  // work(scratch, psi, rows, watch) for every tile of rows; it may change psi.
  template <typename Scratch, typename Work>
  void run(const Batch& batch, const ShiftRequest& request, const Poll& poll, Work work) const {
    if (request.rows == 0 || batch.size == 0) return;
    const FlushDenormals flush;
    Watch watch(poll);
    std::vector<std::vector<u64>> rows_of(request.bundles);
    for (u64 r = 0; r < request.rows; ++r) rows_of[static_cast<u64>(request.bundle[r])].push_back(r);
    u64 size = 1;
    const std::vector<Tile> tiles = tiles_of(request, batch.size, size);
    const u64 chunks = (batch.size + size - 1) / size;
    for (u64 first = 0; first < chunks; first += kTasks) {
      const u64 count = std::min(kTasks, chunks - first);
      const u64 ranges = std::min<u64>(tiles.size(), (kTasks + count - 1) / count);
      auto begin_of = [&](u64 range) { return tiles.size() * range / ranges; };
      std::vector<Chunk> ready(count);
      parallel_for(count, watch, [&](u64 c) {
        ready[c] = chunk_from(batch, (first + c) * size, size);
        Buffer psi(program_.state_bytes());
        program_.start(psi.as<Real>());
        std::size_t at = 0;
        for (u64 r = 0; r < ranges; ++r) {
          advance(ready[c], at, tiles[begin_of(r)].start, {}, psi.as<Real>(), watch);
          at = tiles[begin_of(r)].start;
          ready[c].before.emplace_back(program_.state_bytes());
          std::memcpy(ready[c].before.back().template as<Real>(), psi.as<Real>(), program_.state_bytes());
        }
        advance(ready[c], at, program_.size(), {}, psi.as<Real>(), watch);
        ready[c].final = std::move(psi);
      });
      parallel_for(count * ranges, watch, [&](u64 task) {
        const Chunk& chunk = ready[task / ranges];
        const u64 begin = begin_of(task % ranges), end = begin_of(task % ranges + 1);
        Real* prefix = chunk.before[task % ranges].template as<Real>();  // nobody else's
        Buffer states[kMaxNodes], sum(program_.state_bytes());
        Scratch scratch;
        for (u64 t = begin; t < end; ++t) {
          if (t > begin) advance(chunk, tiles[t - 1].start, tiles[t].start, {}, prefix, watch);
          CombineOp<Real> op;
          op.states = 1 + tiles[t].nodes;
          op.state[0] = chunk.final.template as<Real>();
          for (int n = 0; n < tiles[t].nodes; ++n) {
            Real* psi = prefix;
            if (t + 1 < end || n + 1 < tiles[t].nodes) {
              if (!states[n]) states[n] = Buffer(program_.state_bytes());
              psi = states[n].as<Real>();
              std::memcpy(psi, prefix, program_.state_bytes());
            }
            advance(chunk, tiles[t].start, program_.size(), moved(request, tiles[t], n, size), psi, watch);
            op.state[n + 1] = psi;
          }
          rounds(request, tiles[t], rows_of, chunk, size, op, sum.as<Real>(), watch,
                 [&](const Rows& rows) { work(scratch, sum.as<Real>(), rows, watch); });
        }
      });
    }
  }

  void advance(const Chunk& chunk, std::size_t from, std::size_t to,
               const std::vector<typename Program::Shifted>& moved, Real* psi, Watch& watch) const {
    program_.run(from, to, chunk.bound, chunk.slots, moved, kernels().of<Real>(), psi, watch);
  }

  // Node n of every bundle of a tile.
  std::vector<typename Program::Shifted> moved(const ShiftRequest& request, const Tile& tile, int n, u64 size) const {
    std::vector<typename Program::Shifted> out;
    for (std::size_t b = 0; b < tile.bundles.size(); ++b) {
      const u64 bundle = tile.bundles[b];
      const auto instruction = static_cast<std::size_t>(request.instruction[bundle]);
      for (u64 c = 0; c < size; ++c)
        out.push_back({program_.op_of(instruction), static_cast<int>(b * size + c), instruction,
                       request.shifts[bundle * kMaxNodes + static_cast<u64>(n)]});
    }
    return out;
  }

  // Puts the k-th row of every bundle into `sum`, for all k, and calls work(rows).
  template <typename Work>
  void rounds(const ShiftRequest& request, const Tile& tile, const std::vector<std::vector<u64>>& rows_of,
              const Chunk& chunk, u64 size, CombineOp<Real>& op, Real* sum, Watch& watch, Work work) const {
    u64 most = 0;
    for (const u64 bundle : tile.bundles) most = std::max<u64>(most, rows_of[bundle].size());
    for (u64 k = 0; k < most; ++k) {
      Rows rows;
      rows.fill(kNone);
      std::memset(op.re, 0, sizeof op.re);
      std::memset(op.im, 0, sizeof op.im);
      for (u64 l = 0; l < tile.bundles.size() * size; ++l) {
        const std::vector<u64>& own = rows_of[tile.bundles[l / size]];
        if (k >= own.size() || l % size >= chunk.count) continue;
        rows[l] = (chunk.first + l % size) * request.rows + own[k];
        const double* weights = request.weights + own[k] * 2 * (1 + kMaxNodes);
        for (int n = 0; n <= tile.nodes; ++n) {
          op.re[n][l] = static_cast<Real>(weights[2 * n]);
          op.im[n][l] = static_cast<Real>(weights[2 * n + 1]);
        }
      }
      kernels().of<Real>().combine(sum, op, 0, groups());
      watch.tick(groups() * 5);
      work(rows);
    }
  }

  const Source source_;
  const Program program_;
};

}  // namespace

std::unique_ptr<Shifts> make_shifts(Source source, bool double_precision) {
  validate(source);
  if (source.n_bits > kMaxShiftBits) throw std::invalid_argument("shifts are for programs of at most 13 qubits");
  if (double_precision) return std::make_unique<ShiftsOf<double>>(std::move(source));
  return std::make_unique<ShiftsOf<float>>(std::move(source));
}

}  // namespace ketgrad
