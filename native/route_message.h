/* A route as the kernel tells of it, in a list or because it has changed. */
#pragma once

#include <optional>

#include "netlink.h"
#include "routes.h"

namespace sfunnel {

struct RouteMessage {
    Route route;
    /* Packets leave by it; others are for this host itself. */
    bool leavesBy;
    Attributes attributes;

    /* Also where that cannot be told. */
    bool mayBeOver(int ifindex) const;
};

/* None where it is no route, or one that the kernel has learned for a single destination. */
std::optional<RouteMessage> readRoute(const nlmsghdr &header, const uint8_t *body);

} // namespace sfunnel
