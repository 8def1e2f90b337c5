/*
 * Arguments from JavaScript, checked: a wrong type throws TypeError, a number or length out
 * of range RangeError. Bytes are copied at once, since JavaScript may change, resize or
 * transfer its buffer while we work.
 */
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sfunnel {

using Bytes = std::vector<uint8_t>;

/* 0 ingress, 1 egress, as in bpf/abi.h. */
enum class Direction : uint8_t { ingress = 0, egress = 1 };

class Args {
  public:
    explicit Args(const Napi::CallbackInfo &info) : info_(info) {}

    uint32_t uint32(size_t index, const char *name, uint32_t least = 0,
                    uint32_t most = UINT32_MAX) const;
    /* A BigInt. */
    uint64_t uint64(size_t index, const char *name) const;
    int ifindex(size_t index) const;
    Direction direction(size_t index) const;
    bool boolean(size_t index, const char *name) const;
    std::string string(size_t index, const char *name) const;
    Bytes bytes(size_t index, const char *name) const;
    std::vector<uint32_t> words(size_t index, const char *name) const;
    Napi::Object object(size_t index, const char *name) const;

    [[noreturn]] void badType(const char *name, const char *expected) const;
    [[noreturn]] void badRange(const std::string &message) const;

  private:
    const Napi::CallbackInfo &info_;
};

/* The same check for a number that is not an argument of its own. */
uint32_t checkedUint32(Napi::Value value, const std::string &name, uint32_t least, uint32_t most);

Napi::Value toJs(Napi::Env env, Bytes &&bytes);

} // namespace sfunnel
