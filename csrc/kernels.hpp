// What the engine and the kernels agree on: the layout of a state and the operands of each kernel. Plain data only,
// so that units compiled for different instruction sets share no code.
//
// A state is an array of groups. A group is kLanes real parts followed by kLanes imaginary parts: 2 x 64 bytes,
// whatever the vector width. In lanes mode a lane is a sample of the batch and the group index is the basis-state
// index. In single mode the lanes hold the low bits of the basis-state index and the group index the others.
// Either way a gate is the same kernel: what depends on low bits is a coefficient per lane or a lane permutation.
#pragma once

#include <cstdint>

#include "anneal_kernels.hpp"
#include "instruction.hpp"

namespace ketgrad {

template <typename Real>
inline constexpr int kLanes = 64 / static_cast<int>(sizeof(Real));

// The group indices i with (i & fixed) == value; `count` of them, enumerated in ascending order.
struct IndexMap {
  std::uint64_t fixed;
  std::uint64_t value;
  std::uint64_t count;
};

// What is known of a pair gate's coefficients: nothing; c = 0, s = 1 on every lane; or besides that units of 1, so that
// amplitudes are only moved.
enum class Form : std::uint8_t { Full, OffDiagonal, Move };

// A gate that couples group i with group i ^ x_hi (lanes permuted by x_lo), or with itself when x_hi is 0.
// a' = (1 - act + c act) a + s unit b, the sign of s flipped where parity(i & z_hi) is odd; the coupling is i * unit
// when `imaginary`. A diagonal gate has no partner: a' = ((1 - act + c act) + i s unit) a.
template <typename Real>
struct alignas(64) GateOp {
  Real act_a[kLanes<Real>], act_b[kLanes<Real>];
  Real unit_a[kLanes<Real>], unit_b[kLanes<Real>];
  IndexMap index;
  std::uint64_t x_hi, z_hi;
  int x_lo;
  bool imaginary;
  Form form;  // for `permute`
};

// Cosine and sine of a gate's angle, one for each lane.
template <typename Real>
struct alignas(64) Rotor {
  Real c[kLanes<Real>], s[kLanes<Real>];
};

// A 2x2 matrix: a' = C a + S b for each of the two partners, complex coefficients per lane.
template <typename Real>
struct alignas(64) MixOp {
  Real c_re[2][kLanes<Real>], c_im[2][kLanes<Real>];
  Real s_re[2][kLanes<Real>], s_im[2][kLanes<Real>];
  IndexMap index;
  std::uint64_t x_hi;
  int x_lo;
  bool real;  // no imaginary part anywhere
};

// A 2^k x 2^k matrix: kh target bits in the group index, kl among the lanes. out[r] = sum over c and the 2^kl lane
// permutations of coefficient[r][c][p] * in[c]. Coefficients are (re, im) pairs: of single numbers, or of lane
// vectors when `per_lane`.
template <typename Real>
struct DenseOp {
  const Real* coefficients;
  const std::uint64_t* offsets;  // 2^kh group offsets
  const int* lane_xors;          // 2^kl lane permutations
  IndexMap index;
  int n_hi, n_lo;  // 2^kh, 2^kl
  bool per_lane;
};

// A phase from a table of (re, im) entries. Index x collects the bits of the operand: those of the group index under
// `mask`, then those among the lanes, which `lane_part` holds ready. `which` maps x to its entry (null: entry x); a
// diagonal with few distinct values has few entries.
template <typename Real>
struct alignas(64) TableOp {
  Real act[kLanes<Real>];                 // 1 where the controls among the lanes hold
  std::uint32_t lane_part[kLanes<Real>];  // all 0 where every lane has the same index
  IndexMap index;
  std::uint64_t mask;
  const std::uint32_t* which;
  int lane_count;  // operand bits among the lanes
};

// The entries of one call: n x (re, im), or n x (lanes of re, lanes of im); `weights` n reals for the gradient.
template <typename Real>
struct TableEntries {
  const Real* phases;
  const Real* weights;
  bool per_lane;
  bool conjugate;
};

// A term with a pattern on group bits: it counts where (i & ctrl_mask) == ctrl_value.
struct PatternTerm {
  std::uint64_t z_hi, ctrl_mask, ctrl_value;
  bool odd;
};

// Terms with one X mask, for blocks of groups. masks[0] are the Z masks (of group bits) of terms that want the real
// part of conj(psi_i) psi_{i ^ x}, masks[1] those that want the imaginary part: distinct, ascending by the bits that
// number the groups of a block, whatever the others are. Sums have a place for each of masks[0], masks[1] and the
// patterns.
template <typename Real>
struct TermGroup {
  std::uint64_t x_hi;
  int x_lo;
  bool odd;            // somebody wants imaginary parts
  std::uint64_t half;  // a bit of x_hi: the blocks without it give the same sums as those with it; 0: none
  std::uint64_t block;
  const std::uint64_t* masks[2];
  int n_masks[2];
  const PatternTerm* patterns;
  int n_patterns;
};

inline constexpr int kBlockTurns = 4;

// Up to four real rotations that flip group bits only. A block is 2^turns groups, i ^ offset[k], where i has the fixed
// bits of `index` at 0; turn r couples k with k ^ 2^r: a' = c a - s b at the one with bit r at 0, the other way round
// at its partner, s negated where parity(i & signs[r]) or own[r] has a one (bit k of own[r], for bit r of k at 0).
struct TurnBlock {
  std::uint64_t offset[1 << kBlockTurns];
  std::uint64_t signs[kBlockTurns];
  IndexMap index;
  int turns;
  std::uint16_t own[kBlockTurns];
};

// Cosines, and sines for each lane, of the turns of a block. A scaled block has tangents instead of sines and leaves
// the factors c to whoever comes later: a' = a - t b, b' = b + t a.
template <typename Real>
struct alignas(64) BlockAngles {
  Real c[kBlockTurns][kLanes<Real>], s[kBlockTurns][kLanes<Real>];
  double lost[kBlockTurns];  // by what turn r makes the square of the factor smaller that the state in memory lacks
  bool scaled;
};

// Group i moves to i ^ x_hi (lanes permuted by x_lo) on the lanes where take[parity(i & signs)] is 1; the same is so
// for its partner.
template <typename Real>
struct alignas(64) MoveOp {
  Real take[2][kLanes<Real>];
  IndexMap index;
  std::uint64_t x_hi, signs;
  int x_lo;
};

// One factor of a layer of phases: cos - i sin (-1)^parity(i & mask).
struct PhaseFactor {
  std::uint64_t mask;
  double c, s;
};

// The same with an angle for each lane.
template <typename Real>
struct alignas(64) LanePhase {
  Real c[kLanes<Real>], s[kLanes<Real>];
  std::uint64_t mask;
};

inline constexpr int kMaxCross = 15;  // masks of lanes other than 0

// A layer of phases on a tile: group i is multiplied by table[i] * lanes * product over m of
// (cross[m][i].re + i cross[m][i].im pattern[m]) * by_lane[i]. Tables are `groups` real parts, then as many imaginary
// parts; by_lane is laid out as a state.
template <typename Real>
struct alignas(64) PhaseLayer {
  Real lane_re[kLanes<Real>], lane_im[kLanes<Real>];
  const Real* table;               // null: 1
  const Real* by_lane;             // null: 1
  const Real* pattern[kMaxCross];  // for each lane
  const Real* cross[kMaxCross];
  int n_cross;
};

// The sum of up to three states, each times a complex number for each lane.
template <typename Real>
struct alignas(64) CombineOp {
  Real re[3][kLanes<Real>], im[3][kLanes<Real>];
  const Real* state[3];
  int states;
};

template <typename Real>
struct KernelTable {
  void (*pair)(Real* psi, const GateOp<Real>&, const Rotor<Real>&, std::uint64_t begin, std::uint64_t end);
  void (*permute)(Real* psi, const GateOp<Real>&, std::uint64_t begin, std::uint64_t end);
  void (*diagonal)(Real* psi, const GateOp<Real>&, const Rotor<Real>&, std::uint64_t begin, std::uint64_t end);
  void (*mix)(Real* psi, const MixOp<Real>&, std::uint64_t begin, std::uint64_t end);
  void (*dense)(Real* psi, const DenseOp<Real>&, Real* scratch, std::uint64_t begin, std::uint64_t end);
  void (*table)(Real* psi, const TableOp<Real>&, const TableEntries<Real>&, std::uint64_t begin, std::uint64_t end);
  // Reverse sweep: adds sum unit * <lambda|...|psi> per lane to `sum`, then applies the gate (of the inverse
  // rotor) to both states.
  void (*pair_reverse)(Real* psi, Real* lambda, const GateOp<Real>&, const Rotor<Real>&, std::uint64_t begin,
                       std::uint64_t end, double* sum);
  void (*diagonal_reverse)(Real* psi, Real* lambda, const GateOp<Real>&, const Rotor<Real>&, std::uint64_t begin,
                           std::uint64_t end, double* sum);
  void (*table_reverse)(Real* psi, Real* lambda, const TableOp<Real>&, const TableEntries<Real>&, std::uint64_t begin,
                        std::uint64_t end, double* sum);
  // `negate` has bit r where turn r goes the other way.
  void (*turns)(Real* psi, const TurnBlock&, const BlockAngles<Real>&, unsigned negate, std::uint64_t begin,
                std::uint64_t end);
  // Adds Re<lambda| -i W |psi> per lane (without the signs of lanes) to sums[r * lanes], then undoes the turns; with
  // `flips`, which wants a block without `own`, adds Im<lambda| X^x |psi> to flips[r * lanes], x what turn r flips. The
  // sums are for the factor that both states lack before the block.
  void (*turns_reverse)(Real* psi, Real* lambda, const TurnBlock&, const BlockAngles<Real>&, unsigned negate,
                        std::uint64_t begin, std::uint64_t end, double* sums, double* flips);
  void (*move)(Real* psi, const MoveOp<Real>&, std::uint64_t begin, std::uint64_t end);
  // Lane l of group t comes from the position groups[t] ^ lanes[l] ^ offset, its imaginary part from kLanes beyond.
  void (*shuffle)(const Real* from, Real* to, const std::uint32_t* groups, const std::uint32_t* lanes,
                  std::uint32_t offset, std::uint64_t count);
  // Adds Im<lambda| X^x |psi> of groups per lane to sum; `op` as for pair.
  void (*flip_inner)(const Real* psi, const Real* lambda, const GateOp<Real>& op, std::uint64_t begin,
                     std::uint64_t end, double* sum);
  // table[i] for the first `groups` i (a power of two): the product of the factors.
  void (*phase_table)(Real* table, std::uint64_t groups, const PhaseFactor* factors, int count);
  void (*lane_phase_table)(Real* table, std::uint64_t groups, const LanePhase<Real>* factors, int count);
  void (*phases)(Real* psi, const PhaseLayer<Real>&, std::uint64_t groups, std::uint64_t begin, std::uint64_t end);
  // Writes Im(conj(lambda) psi) per lane to v, then multiplies both by the conjugate of the layer.
  void (*phases_reverse)(Real* psi, Real* lambda, const PhaseLayer<Real>&, std::uint64_t groups, std::uint64_t begin,
                         std::uint64_t end, Real* v);
  // Sums of v (groups x lanes) with the signs of ascending distinct masks, per lane: sums[k * lanes]. Consumes v.
  void (*signed_sums)(Real* v, std::uint64_t groups, const std::uint64_t* masks, int count, double* sums);
  // Adds the sums of one block from group `base` (a multiple of it); scratch: two lanes of reals a group.
  void (*expect)(const Real* psi, const TermGroup<Real>&, std::uint64_t base, double* sums, Real* scratch);
  // lambda (+)= (sum over places of weight * word) psi on one block; weights (places, lanes) have the terms' signs.
  void (*observe)(const Real* psi, Real* lambda, const TermGroup<Real>&, const Real* weights, std::uint64_t base,
                  bool add, Real* scratch);
  // Two uncontrolled `mix` ops on different group bits; the index map has both fixed at 0.
  void (*mix_both)(Real* psi, const MixOp<Real>&, const MixOp<Real>&, const IndexMap&);
  // Moves groups along cycles: each is its length, then groups that take what the next one has, and the last the
  // first's.
  void (*cycle)(Real* psi, const std::uint32_t* cycles, std::uint64_t count);
  void (*combine)(Real* out, const CombineOp<Real>&, std::uint64_t begin, std::uint64_t end);
  // ends[l * stride + i]: the sum of squares of lane l up to and with group i, in lanes mode.
  void (*cumulate)(const Real* psi, std::uint64_t groups, double* ends, std::uint64_t stride);
  // Sums of count * (value - about) and of count * (value - about)^2.
  void (*weigh)(const double* counts, const double* values, std::uint64_t size, double about, double* sum,
                double* squares);
  // Cosines and sines of half the angles; what is meant to be 0 is 0. count: a multiple of 8.
  void (*half_angles)(const double* angles, std::uint64_t count, double* c, double* s);
};

struct Kernels {
  const char* name;
  KernelTable<float> single;
  KernelTable<double> twice;
  AnnealTable anneal;

  template <typename Real>
  const KernelTable<Real>& of() const {
    if constexpr (sizeof(Real) == 4)
      return single;
    else
      return twice;
  }
};

}  // namespace ketgrad
