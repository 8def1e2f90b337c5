/*
 * One at a time, of all processes, works on a network namespace: a lock on the namespace itself
 * (flock), which leaves no trace and goes with its holder.
 */
#pragma once

#include <napi.h>

#include <string>

#include "fd.h"
#include "result.h"

namespace sfunnel {

struct NetnsLock {
    Fd fd;
};

/* Fails with EAGAIN while another one has it. */
Result<NetnsLock> lockNetns(const std::string &netns);

Napi::Value toJs(Napi::Env env, NetnsLock &&lock);

Napi::Function defineNetnsLock(Napi::Env env);

} // namespace sfunnel
