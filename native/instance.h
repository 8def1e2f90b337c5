/*
 * What one environment (the process's or a worker's) keeps of the addon. There is no other
 * JavaScript state; nothing of it may live in a global.
 */
#pragma once

#include <napi.h>

namespace sfunnel {

struct Instance {
    Napi::FunctionReference object;
    Napi::FunctionReference array;
    Napi::FunctionReference attachment;
    Napi::FunctionReference lock;
    Napi::FunctionReference watch;
    Napi::FunctionReference routeWatch;
};

inline Instance &instance(Napi::Env env) {
    return *env.GetInstanceData<Instance>();
}

} // namespace sfunnel
