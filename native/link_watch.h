/* Tells JavaScript that something has happened to a device, or to what it works with. */
#pragma once

#include <napi.h>

#include <string>

#include "fd.h"
#include "result.h"

namespace sfunnel {

/* Hears what the kernel says about the devices of one namespace, from when it was made. */
struct LinkListener {
    Fd socket;
    int ifindex;
};

Result<LinkListener> listenToLinks(const std::string &netns, int ifindex);

Napi::Value toJs(Napi::Env env, LinkListener &&listener);

Napi::Function defineLinkWatch(Napi::Env env);

} // namespace sfunnel
