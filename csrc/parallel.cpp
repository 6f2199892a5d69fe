#include "parallel.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace ketgrad {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollEvery = std::chrono::milliseconds(20);
constexpr std::uint64_t kClockEvery = 200'000;  // ns of work between looks at the clock
// A worker that found nothing looks for work this long, then lets others go first (torch's pool may want the
// processors), then parks. A step in torch leaves gaps between its calls that should not each end in waking a thread.
constexpr auto kSpin = std::chrono::microseconds(30);
constexpr auto kYield = std::chrono::microseconds(300);

thread_local char thread_mark;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Watch::Watch(std::function<void()> poll)
    : poll_(std::move(poll)),
      thread_(reinterpret_cast<std::uintptr_t>(&thread_mark)),
      next_(Clock::now() + kPollEvery) {}

bool Watch::caller() const { return reinterpret_cast<std::uintptr_t>(&thread_mark) == thread_; }

void Watch::tick(std::uint64_t work) {
  if (stopped()) throw Stopped{};
  if (!caller()) return;
  since_ += work;
  if (since_ < kClockEvery) return;
  since_ = 0;
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + kPollEvery;
  if (poll_) poll_();
}

FlushDenormals::FlushDenormals() {
#if defined(__x86_64__)
  saved_ = _mm_getcsr();
  _mm_setcsr(static_cast<unsigned>(saved_) | 0x8040u);
#elif defined(__aarch64__)
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" : : "r"(saved_ | (1ull << 24)));
#else
  saved_ = 0;
#endif
}

FlushDenormals::~FlushDenormals() {
#if defined(__x86_64__)
  _mm_setcsr(static_cast<unsigned>(saved_));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(saved_));
#endif
}

namespace {

// Tasks that one thread takes first, so that it meets in the next job what the last one left in its cache.
struct alignas(64) Share {
  std::atomic<std::uint64_t> next{0};
  std::uint64_t end = 0;
};

struct Job {
  Job(TaskRef job_task, std::uint64_t job_count, Watch& job_watch)
      : task(job_task),
        count(job_count),
        watch(job_watch),
        whole{0, job_count},
        shares(&whole, 1) {}

  TaskRef task;
  std::uint64_t count;
  Watch& watch;
  Share whole;
  std::span<Share> shares;
  std::mutex mutex;
  std::exception_ptr error;

  void cut(std::span<Share> into) {
    shares = into;
    for (std::size_t k = 0; k < into.size(); ++k) {
      into[k].next.store(count * k / into.size(), std::memory_order_relaxed);
      into[k].end = count * (k + 1) / into.size();
    }
  }

  // The tasks of share `own`, then those that others have not come to.
  void work(std::size_t own) {
    const FlushDenormals flush;
    try {
      for (std::size_t k = 0; k < shares.size(); ++k) {
        Share& share = shares[(own + k) % shares.size()];
        for (;;) {
          const std::uint64_t index = share.next.fetch_add(1, std::memory_order_relaxed);
          if (watch.stopped()) return;
          if (index >= share.end) break;
          task(index);
        }
      }
    } catch (const Stopped&) {
    } catch (...) {
      watch.stop();
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  }
};

class Pool {
 public:
  explicit Pool(int workers) : size_(workers), shares_(static_cast<std::size_t>(workers) + 1) {
    try {
      for (std::size_t i = 1; i < shares_.size(); ++i) threads_.emplace_back([this, i] { loop(i); });
    } catch (const std::system_error&) {
      // the system grants no more threads: work with those there are
    }
  }

  ~Pool() {
    quit_ = true;
    publish();
    for (auto& t : threads_) t.join();
  }

  // Threads asked for; there may be fewer.
  int size() const { return size_; }

  void run(Job& job) {
    job.cut(shares_);
    job_ = &job;
    publish();
    job.work(0);
    job_ = nullptr;  // from here on no worker finds the job, and those that did are counted
    const auto spin_until = Clock::now() + kSpin;
    while (inside_ != 0) {
      if (Clock::now() < spin_until) {
        pause();
        continue;
      }
      std::unique_lock lock(mutex_);
      waiting_ = true;
      done_.wait_for(lock, std::chrono::milliseconds(1), [&] { return inside_ == 0; });
      waiting_ = false;
    }
  }

 private:
  // Workers see the new generation by themselves, or are parked and have to be woken.
  void publish() {
    ++generation_;
    if (parked_ == 0) return;
    {
      const std::lock_guard lock(mutex_);
    }  // who is about to park has either seen the generation or waits by now
    wake_.notify_all();
  }

  // Waits for a generation other than `seen`, and gives it.
  std::uint64_t next_generation(std::uint64_t seen) {
    const auto start = Clock::now();
    for (auto waited = start - start; waited <= kYield; waited = Clock::now() - start) {
      if (const std::uint64_t now = generation_; now != seen) return now;
      if (waited > kSpin) {
        std::this_thread::yield();
      } else {
        pause();
      }
    }
    std::unique_lock lock(mutex_);
    ++parked_;
    wake_.wait(lock, [&] { return generation_ != seen; });
    --parked_;
    return generation_;
  }

  void loop(std::size_t own) {
    for (std::uint64_t seen = 0;;) {
      seen = next_generation(seen);
      if (quit_) return;
      ++inside_;
      if (Job* const job = job_) job->work(own);
      if (--inside_ == 0 && waiting_) {
        {
          const std::lock_guard lock(mutex_);
        }
        done_.notify_one();
      }
    }
  }

  // No lock is taken on the way into a job or out of it: who does not get one at once sleeps, and a job may be shorter
  // than it takes to wake up. All of these are sequentially consistent.
  const int size_;
  std::vector<Share> shares_;  // of the caller, then of each worker
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<Job*> job_{nullptr};
  std::atomic<int> inside_{0}, parked_{0};
  std::atomic<bool> quit_{false}, waiting_{false};
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;  // the last member: they use the others
};

// Leaked on purpose: threads must not be joined while the interpreter unloads, and a forked child has none of them.
struct Shared {
  std::mutex busy;
  std::unique_ptr<Pool> pool;  // made for the wanted number of threads when a job needs it
  std::atomic<int> threads{1};
};

Shared* shared = new Shared;

void after_fork_in_child() {
  auto* fresh = new Shared;  // the old one's mutexes and threads belong to the parent
  fresh->threads = shared->threads.load();
  shared = fresh;
}

const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);

// Whether this thread is inside a job: it may hold `busy`, and must neither wait for it nor start another pool job. A
// signal handler may call anything from there.
thread_local bool inside_job = false;

struct Inside {
  bool before = std::exchange(inside_job, true);
  ~Inside() { inside_job = before; }
};

}  // namespace

int num_threads() { return shared->threads; }

void set_num_threads(int count) {
  (void)registered;
  shared->threads = count;
}

void run_tasks(std::uint64_t count, TaskRef task, Watch& watch) {
  Job job(task, count, watch);
  {
    const Inside inside;
    std::unique_lock lock(shared->busy, std::defer_lock);
    const int threads = shared->threads;
    if (count > 1 && threads > 1 && !inside.before && lock.try_lock()) {
      if (!shared->pool || shared->pool->size() != threads - 1) {
        shared->pool.reset();
        shared->pool = std::make_unique<Pool>(threads - 1);
      }
      shared->pool->run(job);
    } else {
      job.work(0);
    }
  }
  if (job.error) std::rethrow_exception(job.error);
  if (watch.stopped()) throw Stopped{};
}

}  // namespace ketgrad
