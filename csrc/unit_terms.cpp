// The members of `Unit` for observables: values of all terms, and lambda. The work is cut by its size alone.
//
// A task goes through tiles of the state in order, and on each through X masks in ascending order: a tile, and those it
// is paired with by masks that differ in low bits alone, stay in the cache.
#include "unit.hpp"

namespace ketgrad {

namespace {

// Tasks worth starting for some X masks on so many groups.
u64 term_tasks(u64 groups, u64 masks) { return Executor::tasks(groups * masks); }

}  // namespace

template <typename Real>
void Unit<Real>::add_terms(const Real* psi, u64 first, u64 last, u64 begin, u64 end, double* sums) const {
  const Terms<Real>& terms = compiled_.terms;
  const u64 place = static_cast<u64>(terms.first_place[first]);
  const Buffer scratch(terms.tile * group * sizeof(Real));
  for (u64 t = begin; t < end; ++t)
    for (u64 m = first; m < last; ++m) {
      const TermGroup<Real>& g = terms.groups[m];
      double* at = sums + (static_cast<u64>(terms.first_place[m]) - place) * lanes;
      for (u64 base = t * terms.tile; base < (t + 1) * terms.tile; base += g.block)
        if (!(base & g.half)) kernels_.expect(psi, g, base, at, scratch.as<Real>());
      executor_.watch.tick(terms.tile * 8);
    }
}

template <typename Real>
void Unit<Real>::values(const Real* psi, double* out) {
  const Terms<Real>& terms = compiled_.terms;
  const u64 n_terms = terms.rows.size(), masks = terms.groups.size();
  if (n_terms == 0) return;
  const u64 tiles = compiled_.layout.groups / terms.tile, wanted = term_tasks(compiled_.layout.groups, masks);
  if (lanes_mode() && wanted == 1) {
    sums_.assign(static_cast<u64>(terms.first_place.back()) * lanes, 0.0);
    add_terms(psi, 0, masks, 0, tiles, sums_.data());
    for (const auto& row : terms.rows) {
      const double factor = term_sign(row.term) * row.value, *sum = sums_.data() + static_cast<u64>(row.place) * lanes;
      double* to = out + row.term;
      for (u64 l = 0; l < count_; ++l) to[l * n_terms] = factor * sum[l];
    }
    return;
  }
  const u64 slices = std::min(tiles, wanted), parts = std::min(masks, wanted / slices);  // of the state; of the masks
  const u64 per_row = static_cast<u64>(width());
  std::vector<double> partial(slices * n_terms * per_row);
  executor_.cut(slices * parts, slices * parts, [&](u64 task, u64, u64) {
    const u64 slice = task % slices, first = masks * (task / slices) / parts,
              last = masks * (task / slices + 1) / parts;
    const u64 place = static_cast<u64>(terms.first_place[first]);
    std::vector<double> sums((static_cast<u64>(terms.first_place[last]) - place) * lanes);
    add_terms(psi, first, last, tiles * slice / slices, tiles * (slice + 1) / slices, sums.data());
    for (int r = terms.first_row[first]; r < terms.first_row[last]; ++r) {
      const auto& row = terms.rows[static_cast<std::size_t>(r)];
      const double* sum = sums.data() + (static_cast<u64>(row.place) - place) * lanes;
      double* to = partial.data() + (slice * n_terms + static_cast<u64>(r)) * per_row;
      for (u64 l = 0; l < lanes; ++l) to[lanes_mode() ? l : 0] += static_cast<double>(row.lane[l]) * sum[l];
    }
  });
  for (u64 r = 0; r < n_terms; ++r)
    for (u64 l = 0; l < (lanes_mode() ? count_ : 1); ++l) {
      const auto& row = terms.rows[r];
      double sum = 0;
      for (u64 s = 0; s < slices; ++s) sum += partial[(s * n_terms + r) * per_row + l];
      out[l * n_terms + static_cast<u64>(row.term)] = term_sign(row.term) * row.value * sum;
    }
}

template <typename Real>
void Unit<Real>::observe(const Real* psi, Real* lambda, const double* cotangents) {
  const Terms<Real>& terms = compiled_.terms;
  const u64 groups = compiled_.layout.groups, n_terms = terms.rows.size(), masks = terms.groups.size();
  const u64 places = static_cast<u64>(terms.first_place.back());
  const Buffer memory(places * lanes * sizeof(Real));
  Real* weights = memory.as<Real>();
  std::fill(weights, weights + places * lanes, Real(0));
  for (const auto& row : terms.rows)
    for (u64 l = 0; l < (lanes_mode() ? count_ : lanes); ++l) {
      const double* of_sample = cotangents + (lanes_mode() ? l : 0) * n_terms;
      const double c = term_sign(row.term) * of_sample[row.term];
      weights[static_cast<u64>(row.place) * lanes + l] += row.factor * row.lane[l] * static_cast<Real>(c);
    }
  const u64 tiles = groups / terms.tile;
  executor_.cut(tiles, std::min(tiles, term_tasks(groups, masks)), [&](u64 begin, u64 end, u64) {
    const Buffer scratch(terms.tile * group * sizeof(Real));
    for (u64 t = begin; t < end; ++t) {
      if (masks == 0) std::memset(lambda + t * terms.tile * group, 0, terms.tile * group * sizeof(Real));
      for (u64 m = 0; m < masks; ++m) {
        const TermGroup<Real>& g = terms.groups[m];
        const Real* at = weights + static_cast<u64>(terms.first_place[m]) * lanes;
        for (u64 base = t * terms.tile; base < (t + 1) * terms.tile; base += g.block)
          kernels_.observe(psi, lambda, g, at, base, m > 0, scratch.as<Real>());
        executor_.watch.tick(terms.tile * 16);
      }
    }
  });
}

template void Unit<float>::add_terms(const float*, u64, u64, u64, u64, double*) const;
template void Unit<double>::add_terms(const double*, u64, u64, u64, u64, double*) const;
template void Unit<float>::values(const float*, double*);
template void Unit<double>::values(const double*, double*);
template void Unit<float>::observe(const float*, float*, const double*);
template void Unit<double>::observe(const double*, double*, const double*);

}  // namespace ketgrad
