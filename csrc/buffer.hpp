// Aligned memory for states: 64-byte aligned, huge pages for large ones. Those of up to 64 MiB are kept for the next
// call, small ones by the thread that gave them back.
#pragma once

#include <cstddef>
#include <utility>

namespace ketgrad {

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);  // throws std::bad_alloc
  ~Buffer();
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));  // leaves `other` empty, and gives back what this one held
    std::swap(data_, taken.data_);
    std::swap(bytes_, taken.bytes_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // At least so large from now on; what it held is lost when it grows.
  void hold(std::size_t bytes) {
    if (bytes_ < bytes) *this = Buffer(bytes);
  }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  explicit operator bool() const { return data_ != nullptr; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace ketgrad
