// Threads: a small pool of our own, and the watch that lets Ctrl-C through.
//
// A job is a fixed number of tasks; a thread takes those of its own share, then what others have left. What a task
// computes never depends on who runs it, so results do not depend on the number of threads. A second caller finds the
// pool busy and runs its job by itself. After a fork the child starts a new pool.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>

namespace ketgrad {

// Thrown when a job stops because another task failed or the watch asked for it.
struct Stopped {};

// Asks `poll` at least every 20 ms while a job runs, on the calling thread only; `poll` throws to stop the job.
class Watch {
 public:
  explicit Watch(std::function<void()> poll);

  // Call after roughly `work` nanoseconds of work; cheap. Throws what `poll` throws, or Stopped.
  void tick(std::uint64_t work);

  bool stopped() const { return stop_.load(std::memory_order_relaxed); }
  void stop() { stop_.store(true, std::memory_order_relaxed); }

 private:
  bool caller() const;

  std::function<void()> poll_;
  std::atomic<bool> stop_{false};
  std::uintptr_t thread_;
  std::uint64_t since_ = 0;
  std::chrono::steady_clock::time_point next_;
};

// A reference to a callable, without an allocation.
class TaskRef {
 public:
  template <typename F>
    requires(!std::is_same_v<F, TaskRef>)  // or a copy would refer to the original
  explicit TaskRef(F& f)
      : object_(&f),
        call_([](void* object, std::uint64_t index) { (*static_cast<F*>(object))(index); }) {}
  void operator()(std::uint64_t index) const { call_(object_, index); }

 private:
  void* object_;
  void (*call_)(void*, std::uint64_t);
};

int num_threads();
void set_num_threads(int count);

// Runs task(0) .. task(count - 1), on the pool when it is free. The first exception of a task is thrown here after all
// threads have left the job.
void run_tasks(std::uint64_t count, TaskRef task, Watch& watch);

template <typename F>
void parallel_for(std::uint64_t count, Watch& watch, F task) {
  run_tasks(count, TaskRef(task), watch);
}

// Treats tiny numbers as zero while in scope (denormals are a hundred times slower), and restores the caller's mode.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  std::uint64_t saved_;
};

}  // namespace ketgrad
