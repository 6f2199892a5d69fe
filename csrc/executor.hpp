// How the work on one state is cut into tasks.
#pragma once

#include <algorithm>

#include "bits.hpp"
#include "parallel.hpp"

namespace ketgrad {

// Cuts a range of groups into tasks. The cut depends on the range alone, so sums over tasks do not depend on threads.
struct Executor {
  Watch& watch;
  bool parallel;

  static u64 tasks(u64 items) { return std::clamp<u64>(items / kTaskItems, 1, kMaxTasks); }

  static u64 tile_tasks(u64 tiles) { return std::min(tiles, kMaxTasks); }

  // f(begin, end, task)
  template <typename F>
  void over(u64 items, F f) const {
    cut(items, tasks(items), [&](u64 begin, u64 end, u64 t) {
      f(begin, end, t);
      watch.tick((end - begin) * kItemCost + kTaskCost);
    });
  }

  // f(begin, end, task), in `count` tasks.
  template <typename F>
  void cut(u64 items, u64 count, F f) const {
    auto task = [&](u64 t) {
      const u64 begin = items / count * t + std::min(t, items % count);
      f(begin, begin + items / count + (t < items % count), t);
    };
    if (count > 1 && parallel)
      parallel_for(count, watch, task);
    else
      for (u64 t = 0; t < count; ++t) task(t);
  }

  static constexpr u64 kTaskItems = 1024;  // groups; 128 KiB
  static constexpr u64 kMaxTasks = 64;
  static constexpr u64 kItemCost = 5, kTaskCost = 20;  // ns, for the watch
};

}  // namespace ketgrad
