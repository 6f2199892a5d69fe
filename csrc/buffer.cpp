#include "buffer.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace ketgrad {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kKeepEach = std::size_t{64} << 20;  // larger ones go back to the system
constexpr std::size_t kKeepAll = std::size_t{192} << 20;

struct Kept {
  std::mutex mutex;
  std::vector<std::pair<void*, std::size_t>> free;
  std::size_t bytes = 0;
};

Kept* kept = new Kept;  // leaked: buffers may outlive static destruction
void after_fork_in_child() { kept = new Kept; }
const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);

}  // namespace

Buffer::Buffer(std::size_t bytes) {
  (void)registered;
  if (bytes == 0) bytes = 64;
  if (bytes <= kKeepEach) {
    const std::lock_guard lock(kept->mutex);
    for (auto& entry : kept->free)
      if (entry.second == bytes) {
        data_ = entry.first;
        bytes_ = bytes;
        kept->bytes -= bytes;
        entry = kept->free.back();
        kept->free.pop_back();
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
  if (bytes_ <= kKeepEach) {
    const std::lock_guard lock(kept->mutex);
    if (kept->bytes + bytes_ <= kKeepAll && kept->free.size() < 64) {
      kept->free.emplace_back(data_, bytes_);
      kept->bytes += bytes_;
      return;
    }
  }
  std::free(data_);
}

}  // namespace ketgrad
