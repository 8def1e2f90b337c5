#include "route_message.h"

#include <sys/socket.h>

namespace sfunnel {
namespace {

bool hasHopOver(const Attributes &attributes, int ifindex) {
    constexpr size_t word = sizeof(uint32_t);
    for (size_t at = 0;;) {
        uint32_t words[sizeof(rtnexthop) / word] = {attributes.word(RTA_MULTIPATH, at),
                                                    attributes.word(RTA_MULTIPATH, at + 1)};
        rtnexthop hop;
        static_assert(sizeof(hop) == sizeof(words));
        std::memcpy(&hop, words, sizeof(hop));
        if (hop.rtnh_len < sizeof(hop)) {
            return false;
        }
        if (hop.rtnh_ifindex == ifindex) {
            return true;
        }
        at += RTNH_ALIGN(hop.rtnh_len) / word;
    }
}

} // namespace

bool RouteMessage::mayBeOver(int ifindex) const {
    if (attributes.has(RTA_OIF)) {
        return attributes.uint32(RTA_OIF) == static_cast<uint32_t>(ifindex);
    }
    if (attributes.has(RTA_MULTIPATH)) {
        return hasHopOver(attributes, ifindex);
    }
    /* With net.ipv4.nexthop_compat_mode off, all it says is a number. */
    return attributes.has(RTA_NH_ID);
}

std::optional<RouteMessage> readRoute(const nlmsghdr &header, const uint8_t *body) {
    rtmsg fixed;
    if ((header.nlmsg_type != RTM_NEWROUTE && header.nlmsg_type != RTM_DELROUTE) ||
        header.nlmsg_len < NLMSG_LENGTH(sizeof(fixed))) {
        return std::nullopt;
    }
    std::memcpy(&fixed, body, sizeof(fixed));
    uint8_t longest = fixed.rtm_family == AF_INET ? 32 : 128;
    if ((fixed.rtm_family != AF_INET && fixed.rtm_family != AF_INET6) ||
        (fixed.rtm_flags & RTM_F_CLONED) != 0 || fixed.rtm_dst_len > longest) {
        return std::nullopt;
    }
    RouteMessage message{{{fixed.rtm_family, fixed.rtm_dst_len, {}}, 0},
                         fixed.rtm_type != RTN_LOCAL && fixed.rtm_type != RTN_ANYCAST,
                         attributesOf(header, body, sizeof(fixed))};
    auto &address = message.route.destination.address;
    for (size_t i = 0; i < longest / 32; i++) {
        uint32_t word = message.attributes.word(RTA_DST, i);
        std::memcpy(address.data() + i * sizeof(word), &word, sizeof(word));
    }
    message.route.mtu = message.attributes.nested(RTA_METRICS).uint32(RTAX_MTU);
    return message;
}

} // namespace sfunnel
