#include "buffer.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <tuple>
#include <vector>

namespace ketgrad {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kKeepEach = (std::size_t{128} << 20) + 4096;  // a state and a little; larger ones go back
constexpr std::size_t kKeepAll = 2 * kKeepEach;
constexpr std::size_t kKeepMost = 64;

struct Kept {
  std::mutex mutex;
  std::vector<std::pair<void*, std::size_t>> free;
  std::size_t bytes = 0;

  void drop(std::size_t k) {
    bytes -= free[k].second;
    free.erase(free.begin() + static_cast<std::ptrdiff_t>(k));
  }
};

// Those of this thread, found without a lock and still in its processor's cache.
struct Own {
  static constexpr std::size_t kEach = std::size_t{1} << 20, kAll = std::size_t{4} << 20, kMost = 16;
  std::pair<void*, std::size_t> free[kMost];  // the oldest first
  std::size_t count = 0, bytes = 0;

  ~Own();

  std::pair<void*, std::size_t> take_out(std::size_t k) {
    const auto out = free[k];
    bytes -= out.second;
    for (--count; k < count; ++k) free[k] = free[k + 1];
    return out;
  }
};

thread_local bool ended = false;  // after which `own` is no more
thread_local Own own;

Own::~Own() {
  ended = true;
  while (count) std::free(take_out(count - 1).first);
}

Kept* kept = new Kept;  // leaked: buffers may outlive static destruction
void after_fork_in_child() { kept = new Kept; }
const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);

}  // namespace

Buffer::Buffer(std::size_t bytes) {
  (void)registered;
  if (bytes == 0) bytes = 64;
  if (bytes <= Own::kEach && !ended)
    for (std::size_t k = own.count; k-- > 0;)
      if (own.free[k].second == bytes) {
        std::tie(data_, bytes_) = own.take_out(k);
        return;
      }
  if (bytes <= kKeepEach) {
    const std::lock_guard lock(kept->mutex);
    for (std::size_t k = kept->free.size(); k-- > 0;)
      if (kept->free[k].second == bytes) {
        data_ = kept->free[k].first;
        bytes_ = bytes;
        kept->drop(k);
        return;
      }
  }
  const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
  if (posix_memalign(&data_, alignment, bytes) != 0) {
    data_ = nullptr;
    throw std::bad_alloc();
  }
  bytes_ = bytes;
#if defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
}

Buffer::~Buffer() {
  if (!data_) return;
  if (bytes_ <= Own::kEach && !ended) {
    // the oldest go first: sizes that nobody asks for any more must not crowd out those that come back
    while (own.bytes + bytes_ > Own::kAll || own.count == Own::kMost) std::free(own.take_out(0).first);
    own.free[own.count++] = {data_, bytes_};
    own.bytes += bytes_;
    return;
  }
  if (bytes_ <= kKeepEach) {
    const std::lock_guard lock(kept->mutex);
    while (kept->bytes + bytes_ > kKeepAll || kept->free.size() >= kKeepMost) {
      std::free(kept->free.front().first);
      kept->drop(0);
    }
    kept->free.emplace_back(data_, bytes_);
    kept->bytes += bytes_;
    return;
  }
  std::free(data_);
}

}  // namespace ketgrad
