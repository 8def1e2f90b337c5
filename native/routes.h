/* What routes over a device say about the size of packets. */
#pragma once

#include <napi.h>

#include <array>
#include <cstdint>
#include <vector>

#include "result.h"

namespace sfunnel {

struct Prefix {
    /* AF_INET or AF_INET6. */
    uint8_t family;
    /* Bits that count. */
    uint8_t length;
    /* Network order, with zeros behind what counts; an IPv4 address has the first four bytes. */
    std::array<uint8_t, 16> address;
};

/* Whether all addresses of `inner` are in `outer`, too. */
bool covers(const Prefix &outer, const Prefix &inner);

struct Route {
    Prefix destination;
    /* 0: it has none. */
    uint32_t mtu;
};

struct Routes {
    /* By family, address and length: a route comes before all that lie inside it. */
    std::vector<Route> routes;
    /* How many more there would be. */
    uint32_t leftOut;
    /* The largest prefixes with an MTU: nothing that lies outside of them is in `routes`. */
    std::vector<Prefix> outermost;
};

/*
 * The routes of all tables over a device of this namespace, as far as they tell the MTU of an
 * address by its longest prefix: those with an MTU, those inside them without, and of these no
 * route that says the same as the one around it. A prefix that is there twice has the smallest MTU.
 * Of more than `most`, the shortest are given, and those with an MTU first: an address inside one
 * that is left out gets the MTU around it. ENODEV: there is no such device.
 */
Result<Routes> routesOver(int ifindex, uint32_t most);

Napi::Value toJs(Napi::Env env, Routes &&routes);

} // namespace sfunnel
