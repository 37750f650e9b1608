// SPDX-License-Identifier: MIT
// libuv's loop and handles as objects. A handle is closed by its destructor and freed by the loop,
// in the close callback, as libuv wants it; so the loop must outlive its handles.
#pragma once

#include <utility>

#include <uv.h>

#include "base/error.h"

namespace grab::relay {

/// The Error of a libuv call, which returns a negated errno value.
[[nodiscard]] inline Status uv_status(int result, std::string_view what) {
  if (result < 0)
    return fail_errno(-result, what);
  return {};
}

class UvLoop {
 public:
  [[nodiscard]] static Result<UvLoop> open() {
    auto* loop = new uv_loop_t;
    if (const int result = uv_loop_init(loop); result < 0) {
      delete loop;
      return fail_errno(-result, "uv_loop_init");
    }
    return UvLoop(loop);
  }
  UvLoop(UvLoop&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)) {}
  UvLoop& operator=(UvLoop&& other) = delete;
  UvLoop(const UvLoop&) = delete;
  UvLoop& operator=(const UvLoop&) = delete;
  ~UvLoop() {
    if (loop_ == nullptr)
      return;
    (void)uv_run(loop_, UV_RUN_DEFAULT);  // the close callbacks of its handles
    (void)uv_loop_close(loop_);
    delete loop_;
  }

  [[nodiscard]] uv_loop_t* get() const { return loop_; }

 private:
  explicit UvLoop(uv_loop_t* loop) : loop_(loop) {}
  uv_loop_t* loop_;
};

/// One handle of type `T` (uv_poll_t, uv_timer_t, uv_signal_t), or none.
template <class T>
class UvHandle {
 public:
  UvHandle() = default;
  /// `init` is uv_poll_init and the like. `owner` is what data<Owner>() gives in callbacks.
  template <class Init, class... Args>
  [[nodiscard]] static Result<UvHandle> open(std::string_view what, void* owner, uv_loop_t* loop,
                                             Init init, Args... args) {
    T* handle = new T{};
    if (const int result = init(loop, handle, args...); result < 0) {
      delete handle;
      return fail_errno(-result, what);
    }
    handle->data = owner;
    return UvHandle(handle);
  }
  UvHandle(UvHandle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  UvHandle& operator=(UvHandle&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  UvHandle(const UvHandle&) = delete;
  UvHandle& operator=(const UvHandle&) = delete;
  ~UvHandle() { reset(); }

  [[nodiscard]] T* get() const { return handle_; }
  [[nodiscard]] bool valid() const { return handle_ != nullptr; }
  void reset() {
    if (handle_ == nullptr)
      return;
    uv_close(reinterpret_cast<uv_handle_t*>(std::exchange(handle_, nullptr)),
             [](uv_handle_t* handle) { delete reinterpret_cast<T*>(handle); });
  }

 private:
  explicit UvHandle(T* handle) : handle_(handle) {}
  T* handle_ = nullptr;
};

}  // namespace grab::relay
