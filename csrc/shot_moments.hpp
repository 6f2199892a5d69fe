// Shots from the states in the lanes of a tile, and what they say of the outputs of each setting.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "draws.hpp"
#include "kernels.hpp"
#include "shifts.hpp"

namespace ketgrad {

template <typename Real>
class ShotMoments {
 public:
  static constexpr u64 lanes = kLanes<Real>;
  static constexpr u64 kNone = ~u64{0};  // a lane without a row

  struct Scratch {
    Buffer turned, ends;
    Inverse<Real> inverse;
    std::vector<double> counts, values;
    std::vector<std::uint32_t> outcomes;
  };

  // mean and variance (rows, outputs of all settings).
  ShotMoments(const ShotRequest& request, u64 rows, int n_bits, double* mean, double* variance)
      : request_(request),
        groups_(u64{1} << n_bits),
        mean_(mean),
        variance_(variance) {
    const u64 settings = request.settings.size();
    first_.resize(rows * settings + 1);
    for (u64 i = 0; i < rows * settings; ++i) first_[i + 1] = first_[i] + static_cast<u64>(request.shots[i]);
    for (const ShotSetting& setting : request.settings) {
      places_.emplace_back(groups_);
      for (u64 i = 0; i < groups_; ++i)
        places_.back()[i] = static_cast<std::uint32_t>(extract_bits(i, setting.measured));
      turns_.emplace_back();
      for (u64 bits = setting.x_bits | setting.y_bits; bits; bits &= bits - 1)
        turns_.back().push_back(to_z(bits & -bits, (setting.x_bits & bits & -bits) != 0));
      outputs_ += setting.outputs;
    }
  }

  // rows[l] is the row in lane l, or kNone. May change psi.
  void operator()(Scratch& scratch, Real* psi, const u64* rows, const KernelTable<Real>& kernels, Watch& watch) const {
    const u64 bytes = groups_ * 2 * lanes * sizeof(Real), stride = groups_ + 2 * Inverse<Real>::kWindow;
    if (!scratch.ends) scratch.ends = Buffer(lanes * stride * sizeof(double));
    double* ends = scratch.ends.template as<double>();
    u64 output = 0;
    for (std::size_t g = 0; g < request_.settings.size(); ++g) {
      Real* state = psi;
      if (!turns_[g].empty() && g + 1 < request_.settings.size()) {
        if (!scratch.turned) scratch.turned = Buffer(bytes);
        state = scratch.turned.template as<Real>();
        std::memcpy(state, psi, bytes);
      }
      for (const MixOp<Real>& turn : turns_[g]) kernels.mix(state, turn, 0, turn.index.count);
      kernels.cumulate(state, groups_, ends, stride);
      watch.tick(groups_ * 5 * (1 + turns_[g].size()));
      for (u64 l = 0; l < lanes; ++l)
        if (rows[l] != kNone) row(scratch, ends + l * stride, g, rows[l], output, kernels, watch);
      output += request_.settings[g].outputs;
    }
  }

 private:
  // The rotation that makes Z of X or Y.
  MixOp<Real> to_z(u64 bit, bool x) const {
    MixOp<Real> op{};
    op.x_hi = bit;
    op.index = {bit, 0, groups_ / 2};
    op.real = x;
    const Real h = static_cast<Real>(std::numbers::sqrt2 / 2);
    for (u64 l = 0; l < lanes; ++l) {  // rows (1, 1), (1, -1); or (1, -i), (1, i)
      op.c_re[0][l] = h;
      op.s_re[1][l] = h;
      (x ? op.s_re : op.s_im)[0][l] = x ? h : -h;
      (x ? op.c_re : op.c_im)[1][l] = x ? -h : h;
    }
    return op;
  }

  void row(Scratch& scratch, double* ends, std::size_t g, u64 row, u64 output, const KernelTable<Real>& kernels,
           Watch& watch) const {
    const ShotSetting& setting = request_.settings[g];
    const u64 at = row * request_.settings.size() + g, shots = first_[at + 1] - first_[at];
    const double* uniforms = request_.uniforms + first_[at];
    const std::uint32_t* place = places_[g].data();
    const u64 size = u64{1} << std::popcount(setting.measured);
    const bool counted = size <= 4 * shots;  // else each shot is an outcome of its own
    scratch.counts.assign(counted ? size : shots, counted ? 0.0 : 1.0);
    scratch.outcomes.resize(counted ? 1 : shots);
    double* counts = scratch.counts.data();
    std::uint32_t* outcomes = scratch.outcomes.data();
    scratch.inverse.adopt(ends, groups_, shots, watch);
    serial_pieces(shots, watch, [&](u64 lo, u64 hi) {
      u64 found[kTogether];
      for (u64 s = lo; s < hi; s += kTogether) {
        const u64 count = std::min(kTogether, hi - s);
        scratch.inverse.find(uniforms + s, count, found);
        if (s == 0) outcomes[0] = place[found[0]];
        for (u64 i = 0; i < count; ++i) {
          if (counted)
            counts[place[found[i]]] += 1;
          else
            outcomes[s + i] = place[found[i]];
        }
      }
    });
    const double n = static_cast<double>(shots);
    scratch.values.resize(counted ? 0 : shots);
    for (u64 m = 0; m < setting.outputs; ++m) {
      const double* values = setting.table + m * size;
      const double about = values[outcomes[0]];  // of the first shot: where all are equal, sums are 0
      if (!counted) {
        for (u64 s = 0; s < shots; ++s) scratch.values[s] = values[outcomes[s]];
        values = scratch.values.data();
      }
      double sum, squares;
      kernels.weigh(counts, values, scratch.counts.size(), about, &sum, &squares);
      mean_[row * outputs_ + output + m] = about + sum / n;
      variance_[row * outputs_ + output + m] = std::max(0.0, squares - sum * sum / n) / std::max(1.0, n - 1);
    }
    watch.tick(setting.outputs * scratch.counts.size());
  }

  const ShotRequest& request_;
  const u64 groups_;
  double *mean_, *variance_;
  u64 outputs_ = 0;
  std::vector<u64> first_;                          // uniforms of each row and setting
  std::vector<std::vector<std::uint32_t>> places_;  // of each setting: the outcome of every index
  std::vector<std::vector<MixOp<Real>>> turns_;     // its change of basis
};

}  // namespace ketgrad
