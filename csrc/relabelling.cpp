#include "relabelling.hpp"

#include <algorithm>
#include <bit>

#include "bits.hpp"

namespace ketgrad {

namespace {

// A space as the sum of two: what of a vector lies in the first.
struct Split {
  std::vector<u64> vectors, firsts;  // vectors with pivots, and the part of each in the first space

  void add(u64 vector, bool of_first) {
    u64 first = of_first ? vector : 0;
    const u64 left = reduce(vector, first);
    vectors.push_back(left);
    firsts.push_back(first);
  }

  u64 first(u64 vector) const {
    u64 out = 0;
    reduce(vector, out);
    return out;
  }

 private:
  u64 reduce(u64 vector, u64& first) const {
    for (std::size_t k = 0; k < vectors.size(); ++k)
      if (vector & std::bit_floor(vectors[k])) {
        vector ^= vectors[k];
        first ^= firsts[k];
      }
    return vector;
  }
};

}  // namespace

Relabelling::Relabelling(int bits) {
  for (int b = 0; b < bits; ++b) columns_.push_back(u64{1} << b);
}

Relabelling::Relabelling(int bits, const std::vector<Op>& moves) : Relabelling(bits) {
  for (const Op& op : moves) {
    for (u64& column : columns_)
      if (is_odd(column & op.signs)) column ^= op.flips;
    if (is_odd(offset_ & op.signs) != op.even) offset_ ^= op.flips;
  }
}

u64 Relabelling::linear(u64 index) const {
  u64 out = 0;
  for (; index; index &= index - 1) out ^= columns_[static_cast<std::size_t>(std::countr_zero(index))];
  return out;
}

Relabelling Relabelling::after(const Relabelling& first) const {
  Relabelling out(bits());
  for (std::size_t b = 0; b < columns_.size(); ++b) out.columns_[b] = linear(first.columns_[b]);
  out.offset_ = (*this)(first.offset_);
  return out;
}

Relabelling Relabelling::inverse() const {
  std::vector<u64> from = columns_;
  Relabelling out(bits());  // from[b] is the image of out.columns_[b]
  for (std::size_t b = 0; b < from.size(); ++b) {
    const u64 pivot = u64{1} << b;
    const auto has = std::find_if(from.begin() + static_cast<std::ptrdiff_t>(b), from.end(),
                                  [&](u64 column) { return (column & pivot) != 0; });
    const std::size_t k = static_cast<std::size_t>(has - from.begin());
    std::swap(from[b], from[k]);
    std::swap(out.columns_[b], out.columns_[k]);
    for (std::size_t other = 0; other < from.size(); ++other)
      if (other != b && (from[other] & pivot)) {
        from[other] ^= from[b];
        out.columns_[other] ^= out.columns_[b];
      }
  }
  out.offset_ = out.linear(offset_);
  return out;
}

// The map A may move an index x by anything in W, the sum of the lanes, the rows and im(A - 1). A pass moves it within
// a space D that holds lanes and rows. With a common complement C in W of D and A(D), and the projection p onto D along
// C, M = 1 + p(A - 1) is such a pass, invertible since p is on A(D); and what is left, A M^-1, moves an index within C.
// So each pass but the last takes all that a tile has beyond its rows, and there can be no fewer.
std::vector<MovePass> move_passes(Relabelling map, int lane_bits, int group_bits, const Tiling& tiling) {
  const int bits = map.bits(), row_bits = std::min(tiling.row_bits, group_bits), least = lane_bits + row_bits;
  auto moved_by = [&](const Relabelling& m) {
    Span out;
    for (int b = 0; b < least; ++b) out.add(u64{1} << b);
    for (int b = 0; b < bits; ++b) out.extend(m.linear(u64{1} << b) ^ u64{1} << b);
    out.extend(m.offset());
    return out;
  };
  const Span all = moved_by(map);
  const std::size_t beyond = all.directions.size() - static_cast<std::size_t>(least);
  std::size_t width = static_cast<std::size_t>(std::clamp(tiling.tile_bits - row_bits, 1, std::max(1, group_bits)));
  auto passes = [&](std::size_t w) { return (beyond + w - 1) / w; };
  if (passes(width + 1) < passes(width)) ++width;
  auto tile = [&](const Span& space) {  // and the lowest bits that it lacks, for longer rows
    Span out;
    for (const u64 d : space.directions)
      if (const u64 high = d >> least << row_bits) out.add(out.reduce(high));
    for (int b = row_bits; b < group_bits && out.directions.size() < width; ++b) out.extend(u64{1} << b);
    return out;
  };
  std::vector<MovePass> out;
  for (Span space = all;; space = moved_by(map)) {
    bool any = map.offset() != 0;
    for (int b = 0; b < bits; ++b) any = any || map.linear(u64{1} << b) != u64{1} << b;
    if (!any) return out;
    if (space.directions.size() <= static_cast<std::size_t>(least) + width) {
      out.push_back({tile(space), map});
      return out;
    }
    std::vector<u64> basis = space.directions;
    std::sort(basis.begin(), basis.end());  // the lowest first: near one another in memory
    Span own, image;                        // D and A(D), then with C
    Split split;
    for (std::size_t k = 0; k < static_cast<std::size_t>(least) + width; ++k) {
      own.extend(basis[k]);
      image.extend(map.linear(basis[k]));
      split.add(basis[k], true);
    }
    const Span taken = own;
    while (own.directions.size() < basis.size()) {
      u64 both = 0, not_own = 0, not_image = 0;
      for (const u64 v : basis) {
        const bool of_own = !own.reduce(v), of_image = !image.reduce(v);
        if (!of_own && !of_image) both = v;
        if (!of_own) not_own = v;
        if (!of_image) not_image = v;
      }
      const u64 next = both ? both : not_own ^ not_image;
      own.extend(next);
      image.extend(next);
      split.add(next, false);
    }
    std::vector<u64> columns;
    for (int b = 0; b < bits; ++b) columns.push_back(u64{1} << b ^ split.first(map.linear(u64{1} << b) ^ u64{1} << b));
    Relabelling pass(std::move(columns), split.first(map.offset()));
    map = map.after(pass.inverse());
    out.push_back({tile(taken), std::move(pass)});
  }
}

}  // namespace ketgrad
