/* Devices and the clsact hook as JavaScript sees them. */
#pragma once

#include <napi.h>

#include <vector>

#include "rtnetlink.h"

namespace sfunnel {

Napi::Value toJs(Napi::Env env, Device &&device);
Napi::Value toJs(Napi::Env env, std::vector<Device> &&devices);
Napi::Value toJs(Napi::Env env, Lost &&lost);
Napi::Value toJs(Napi::Env env, Qdisc &&qdisc);

} // namespace sfunnel
