/* Follows what routes.h tells. */
#pragma once

#include <napi.h>

#include <string>

#include "fd.h"
#include "netns.h"
#include "result.h"

namespace sfunnel {

/* Hears what the kernel says about routes, from when it was made. */
struct RouteListener {
    Netns netns;
    Fd socket;
    int ifindex;
};

Result<RouteListener> listenToRoutes(const std::string &netns, int ifindex);

Napi::Value toJs(Napi::Env env, RouteListener &&listener);

Napi::Function defineRouteWatch(Napi::Env env);

} // namespace sfunnel
