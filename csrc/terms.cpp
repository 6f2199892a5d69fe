#include "terms.hpp"

#include <algorithm>
#include <bit>
#include <map>

namespace ketgrad {

namespace {

constexpr u64 kLeastBlock = 64;  // groups: 8 KiB of products stay in the first-level cache
constexpr u64 kMostTile = 2048;  // 256 KiB of a state, and as much of the partner's, in the second-level cache

// Of the Z masks of some terms, ascending by the bits within a block.
void sort_masks(std::vector<u64>& masks, u64 block) {
  std::sort(masks.begin(), masks.end(), [&](u64 a, u64 b) {
    const u64 low_a = a & (block - 1), low_b = b & (block - 1);
    return low_a != low_b ? low_a < low_b : a < b;
  });
}

}  // namespace

template <typename Real>
Terms<Real>::Terms(const std::vector<Term>& terms, const Layout& layout)
    : tile(std::min(layout.groups, std::clamp(layout.groups / 4, kLeastBlock, kMostTile))) {
  std::map<u64, std::vector<int>> by_x;
  for (std::size_t t = 0; t < terms.size(); ++t) by_x[terms[t].x_mask].push_back(static_cast<int>(t));
  rows.reserve(terms.size());
  masks_.reserve(2 * by_x.size());
  patterns_.reserve(by_x.size());
  int place = 0;
  for (const auto& [x, members] : by_x) {
    std::map<u64, int> place_of[2];  // by Z mask
    for (const int t : members) {
      const Term& term = terms[static_cast<std::size_t>(t)];
      if (!layout.hi(term.ctrl_mask)) place_of[std::popcount(x & term.z_mask) & 1][layout.hi(term.z_mask)] = 0;
    }
    const u64 most = std::max(place_of[0].size(), place_of[1].size());
    TermGroup<Real> group{};
    group.x_hi = layout.hi(x);
    group.x_lo = static_cast<int>(layout.lo(x));
    group.block = std::min(tile, std::max(kLeastBlock, std::bit_ceil(most)));
    const u64 top = group.x_hi ? std::bit_floor(group.x_hi) : 0;
    group.half = top >= group.block ? top : 0;
    first_row.push_back(static_cast<int>(rows.size()));
    first_place.push_back(place);
    for (int part = 0; part < 2; ++part) {
      masks_.emplace_back();
      for (const auto& entry : place_of[part]) masks_.back().push_back(entry.first);
      sort_masks(masks_.back(), group.block);
      for (const u64 mask : masks_.back()) place_of[part][mask] = place++;
      group.masks[part] = masks_.back().data();
      group.n_masks[part] = static_cast<int>(masks_.back().size());
    }
    group.odd = group.n_masks[1] > 0;
    patterns_.emplace_back();
    for (const int t : members) {
      const Term& term = terms[static_cast<std::size_t>(t)];
      const int ys = std::popcount(x & term.z_mask);
      Row row{};
      const double sign = (ys & 3) < 2 ? 1 : -1;
      row.value = group.half ? 2 * sign : sign;
      // (-i)^nY: an odd number of Ys puts the factor into the imaginary part with the opposite sign
      row.factor = static_cast<Real>(ys & 1 ? -sign : sign);
      row.term = t;
      for (int l = 0; l < kLanes<Real>; ++l) {
        const u64 index = layout.lo(static_cast<u64>(l));
        const bool inside = (index & layout.lo(term.ctrl_mask)) == layout.lo(term.ctrl_value);
        row.lane[l] = inside ? static_cast<Real>(sign_of(index & layout.lo(term.z_mask))) : Real(0);
      }
      if (layout.hi(term.ctrl_mask)) {
        row.place = place++;
        patterns_.back().push_back(
            {layout.hi(term.z_mask), layout.hi(term.ctrl_mask), layout.hi(term.ctrl_value), (ys & 1) != 0});
        group.odd = group.odd || (ys & 1);
      } else {
        row.place = place_of[ys & 1][layout.hi(term.z_mask)];
      }
      rows.push_back(row);
    }
    group.patterns = patterns_.back().data();
    group.n_patterns = static_cast<int>(patterns_.back().size());
    groups.push_back(group);
  }
  first_row.push_back(static_cast<int>(rows.size()));
  first_place.push_back(place);
}

template struct Terms<float>;
template struct Terms<double>;

}  // namespace ketgrad
