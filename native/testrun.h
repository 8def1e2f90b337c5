/* Runs one frame through a program in the kernel (BPF_PROG_TEST_RUN). */
#pragma once

#include <array>

#include "load.h"

namespace sfunnel {

/* Words of skb->cb. */
using ControlBlock = std::array<uint32_t, 5>;

struct TestRun {
    int32_t verdict;
    Bytes frame;
    ControlBlock cb;
    uint32_t duration;
};

/* As if on this device of the calling thread's namespace; 0 is its loopback. */
Result<TestRun> testRun(const Program &program, const Bytes &frame, const ControlBlock &cb,
                        uint32_t repeat, int ifindex);

Napi::Value toJs(Napi::Env env, TestRun &&run);

} // namespace sfunnel
