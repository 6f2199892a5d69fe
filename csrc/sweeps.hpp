// The numbers of one call for a large circuit, and its passes over a state: forward, back with gradients, undone.
#pragma once

#include <initializer_list>
#include <vector>

#include "executor.hpp"
#include "gate_runner.hpp"
#include "numbers.hpp"
#include "tile_plan.hpp"

namespace ketgrad {

// Gradients of an op: along its own word, and of a full turn along its flip.
struct Measured {
  double own = 0, flip = 0;
};

template <typename Real>
class Sweeps {
 public:
  // Rotors and entries are those of the steps that stay gates.
  Sweeps(const TilePlan<Real>& plan, const KernelTable<Real>& kernels, const Executor& executor,
         std::vector<double> angles_of_ops, const std::vector<Rotor<Real>>& rotors_of_steps,
         const std::vector<TableEntries<Real>>& entries_of_steps, const std::vector<Chosen<Real>>& chosen)
      : plan_(plan),
        kernels_(kernels),
        executor_(executor),
        halves_(half_angles(kernels, std::move(angles_of_ops))),
        gates_{kernels, rotors_of_steps, entries_of_steps, chosen} {}

  // `factor`: the state is that times what memory holds, before and after; 1 at either end of a sweep.
  // `sparse`: the state began as |0..0>. Tiles outside the support of the pass are 0 and stay so; what is outside the
  // support before it is 0, whatever memory holds.
  void forward(const TilePass<Real>& pass, Real* psi, bool sparse, double& factor) const;
  // Stages from the last to `from`, undone on both; writes what was measured of their trained ops to measured[op].
  // `factor`: of both states, as in `forward`; what is left at the end of the sweep is lost. Null: always 1.
  void reverse(const TilePass<Real>& pass, std::size_t from, Real* psi, Real* lambda, std::vector<Measured>& measured,
               double* factor) const;
  // The first `count` stages, undone.
  void undo(const TilePass<Real>& pass, std::size_t count, Real* state) const;

 private:
  using Numbers = PassNumbers<Real>;
  struct Worker;  // what a thread keeps from tile to tile

  template <typename Work>
  void over_tiles(const TilePass<Real>& pass, std::initializer_list<Real*> states, Work work,
                  bool sparse = false) const;
  // Rows of a tile to its packed copy; null to leave it in place.
  void take_in(const TilePass<Real>& pass, Real* state, Real* packed, std::uint64_t base, bool sparse) const;
  void put_back(const TilePass<Real>& pass, Real* state, const Real* packed, std::uint64_t base) const;
  // What a stage takes from the base of a tile.
  void prepare(const TilePass<Real>& pass, const Numbers& numbers, std::size_t stage, std::uint64_t base, bool inverse,
               Worker& worker) const;
  // On a part of a tile.
  void apply(const TilePass<Real>& pass, const Numbers& numbers, std::size_t stage, Real* psi, std::uint64_t base,
             Way way, Worker& worker, Part part) const;
  void shuffle(const TilePass<Real>& pass, const Shuffle& shuffle, Real* psi, std::uint64_t base, bool inverse,
               Worker& worker) const;
  // All of a pass that only moves.
  void rearrange(const TilePass<Real>& pass, Real* state, bool inverse) const;
  void reverse_stage(const TilePass<Real>& pass, const Numbers& numbers, std::size_t stage, Real* psi, Real* lambda,
                     std::uint64_t base, Worker& worker, Part part, double* sums) const;

  const TilePlan<Real>& plan_;
  const KernelTable<Real>& kernels_;
  const Executor& executor_;
  const std::vector<HalfAngle> halves_;
  const GateRunner<Real> gates_;
};

}  // namespace ketgrad
