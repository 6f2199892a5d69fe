#include "layers.hpp"

#include <algorithm>

namespace ketgrad {

namespace {

// (re, im) *= c - i s
void turn_by(double& re, double& im, double c, double s) {
  const double x = re * c + im * s;
  im = im * c - re * s;
  re = x;
}

}  // namespace

template <typename Real>
std::vector<HalfAngle> half_angles(const KernelTable<Real>& kernels, std::vector<double> angles) {
  std::vector<HalfAngle> out(angles.size());
  angles.resize((angles.size() + 7) / 8 * 8);
  std::vector<double> c(angles.size()), s(angles.size());
  kernels.half_angles(angles.data(), angles.size(), c.data(), s.data());
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = {c[k], s[k]};
  return out;
}

template <typename Real>
LayerNumbers<Real>::LayerNumbers(const TileLayer& layer, const std::vector<Op>& ops,
                                 const std::vector<HalfAngle>& halves) {
  auto of = [&](int op) { return halves[static_cast<std::size_t>(ops[static_cast<std::size_t>(op)].angle)]; };
  auto all = [&](const std::vector<TileLayer::Member>& members) {
    std::vector<HalfAngle> list;
    list.reserve(members.size());
    for (const TileLayer::Member& m : members) list.push_back(of(m.op));
    return list;
  };
  scalars = all(layer.scalars);
  lanes = all(layer.lanes);
  table = all(layer.table);
  for (const auto& [lanes, members] : layer.cross) {
    cross.push_back(all(members));
    patterns.emplace_back();
    for (int l = 0; l < kLanes<Real>; ++l)
      patterns.back()[static_cast<std::size_t>(l)] = static_cast<Real>(lane_sign(l, lanes));
  }
  for (int l = 0; l < kLanes<Real>; ++l) {
    re[l] = 1;
    im[l] = 0;
  }
  for (const TileLayer::Member& m : layer.fixed) {
    const HalfAngle t = of(m.op);
    for (int l = 0; l < kLanes<Real>; ++l) turn_by(re[l], im[l], t.c, t.s * lane_sign(l, m.lanes));
  }
}

template <typename Real>
void LayerNumbers<Real>::scale(double factor) {
  for (int l = 0; l < kLanes<Real>; ++l) {
    re[l] *= factor;
    im[l] *= factor;
  }
}

template <typename Real>
void prepare_layer(const TileLayer& layer, const LayerNumbers<Real>& n, const KernelTable<Real>& kernels, u64 base,
                   bool inverse, u64 groups, LayerTables& tables, PhaseLayer<Real>& out,
                   const PhaseLayer<Real>* known) {
  double re[kLanes<Real>], im[kLanes<Real>], whole_re = 1, whole_im = 0;
  for (std::size_t k = 0; k < layer.scalars.size(); ++k)
    turn_by(whole_re, whole_im, n.scalars[k].c,
            is_odd(base & layer.scalars[k].outside) ? -n.scalars[k].s : n.scalars[k].s);
  for (int l = 0; l < kLanes<Real>; ++l) {
    re[l] = n.re[l] * whole_re - n.im[l] * whole_im;
    im[l] = n.re[l] * whole_im + n.im[l] * whole_re;
  }
  for (std::size_t k = 0; k < layer.lanes.size(); ++k) {
    const double s = is_odd(base & layer.lanes[k].outside) ? -n.lanes[k].s : n.lanes[k].s;
    for (int l = 0; l < kLanes<Real>; ++l) turn_by(re[l], im[l], n.lanes[k].c, s * lane_sign(l, layer.lanes[k].lanes));
  }
  for (int l = 0; l < kLanes<Real>; ++l) {
    out.lane_re[l] = static_cast<Real>(re[l]);
    out.lane_im[l] = static_cast<Real>(inverse ? -im[l] : im[l]);
  }
  out.n_cross = static_cast<int>(layer.cross.size());
  if (known) {
    out.table = known->table;
    out.by_lane = nullptr;
    std::copy(known->cross, known->cross + out.n_cross, out.cross);
    std::copy(known->pattern, known->pattern + out.n_cross, out.pattern);
    return;
  }
  const bool table = !layer.table.empty();
  const std::size_t count = (table ? 1 : 0) + layer.cross.size();
  if (count && !tables.memory) tables.memory = Buffer(count * 2 * groups * sizeof(Real));
  Real* memory = count ? tables.memory.template as<Real>() : nullptr;
  const bool build = !tables.ready || layer.table_varies || tables.inverse != inverse;
  std::vector<PhaseFactor> factors;
  auto fill = [&](const std::vector<TileLayer::Member>& members, const std::vector<HalfAngle>& trig) {
    factors.clear();
    for (std::size_t k = 0; k < members.size(); ++k)
      factors.push_back(
          {members[k].tile, trig[k].c, is_odd(base & members[k].outside) != inverse ? -trig[k].s : trig[k].s});
  };
  out.table = out.by_lane = nullptr;
  if (table) {
    if (build) {
      fill(layer.table, n.table);
      kernels.phase_table(memory, groups, factors.data(), static_cast<int>(factors.size()));
    }
    out.table = memory;
    memory += 2 * groups;
  }
  for (std::size_t m = 0; m < layer.cross.size(); ++m) {
    if (build) {
      fill(layer.cross[m].second, n.cross[m]);
      kernels.phase_table(memory, groups, factors.data(), static_cast<int>(factors.size()));
    }
    out.cross[m] = memory;
    out.pattern[m] = n.patterns[m].data();
    memory += 2 * groups;
  }
  tables.ready = true;
  tables.inverse = inverse;
}

template <typename Real>
void layer_sums(const TileLayer& layer, const KernelTable<Real>& kernels, u64 groups, u64 base, Real* v, double* out) {
  constexpr int lanes = kLanes<Real>;
  const Buffer memory(layer.masks.size() * lanes * sizeof(double));
  double* const of_mask = memory.as<double>();
  std::fill_n(of_mask, layer.masks.size() * lanes, 0.0);
  kernels.signed_sums(v, groups, layer.masks.data(), static_cast<int>(layer.masks.size()), of_mask);
  for (const TileLayer::Member& m : layer.trained) {
    const double sign = sign_of(base & m.outside);
    for (int l = 0; l < lanes; ++l)
      out[m.sum * lanes + l] += sign * lane_sign(l, m.lanes) * of_mask[m.mask * lanes + l];
  }
}

template std::vector<HalfAngle> half_angles(const KernelTable<float>&, std::vector<double>);
template std::vector<HalfAngle> half_angles(const KernelTable<double>&, std::vector<double>);
template struct LayerNumbers<float>;
template struct LayerNumbers<double>;
template void prepare_layer(const TileLayer&, const LayerNumbers<float>&, const KernelTable<float>&, u64, bool, u64,
                            LayerTables&, PhaseLayer<float>&, const PhaseLayer<float>*);
template void prepare_layer(const TileLayer&, const LayerNumbers<double>&, const KernelTable<double>&, u64, bool, u64,
                            LayerTables&, PhaseLayer<double>&, const PhaseLayer<double>*);
template void layer_sums(const TileLayer&, const KernelTable<float>&, u64, u64, float*, double*);
template void layer_sums(const TileLayer&, const KernelTable<double>&, u64, u64, double*, double*);

}  // namespace ketgrad
