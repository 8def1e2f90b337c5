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

Result<TestRun> testRun(const Program &program, const Bytes &frame, const ControlBlock &cb,
                        uint32_t repeat);

Napi::Value toJs(Napi::Env env, TestRun &&run);

} // namespace sfunnel
