#include "segmenter.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>

#include <optional>

#include "ethtool.h"
#include "fd.h"
#include "netlink.h"
#include "rtnetlink.h"

namespace sfunnel {
namespace {

/* The most that the kernel takes: a segment is never too large for it. */
constexpr uint32_t mtu = 65535;

/* Administered locally, and set by us: nobody chooses another one for a device that has one. */
constexpr uint8_t sendingAddress[] = {0x02, 0x73, 0x66, 0x6e, 0x00, 0x01};
constexpr uint8_t receivingAddress[] = {0x02, 0x73, 0x66, 0x6e, 0x00, 0x02};

bool startsWith(const std::string &text, const char *start) {
    return text.rfind(start, 0) == 0;
}

/* All that lets a super-packet or an unfinished checksum through. VLAN tags may go as they are. */
bool isUnwantedSending(const std::string &feature) {
    return startsWith(feature, "tx-") && !startsWith(feature, "tx-vlan");
}

/* All that would put segments together again. */
bool isUnwantedReceiving(const std::string &feature) {
    return startsWith(feature, "rx-gro") || startsWith(feature, "rx-udp-gro");
}

struct End {
    const std::string &name;
    IsUnwanted isUnwanted;
};

struct Link {
    int ifindex;
    std::string name;
    std::string kind;
    /* 0: none, or in another namespace. */
    int peer;
    uint32_t flags;
    uint32_t mtu;
    /* No IPv6 address makes itself here. */
    bool quiet;
};

std::optional<Link> readLink(const ifinfomsg &info, const Attributes &attributes) {
    Attributes families = attributes.nested(IFLA_AF_SPEC);
    Attributes ipv6 = families.nested(AF_INET6);
    bool elsewhere = attributes.has(IFLA_LINK_NETNSID);
    return Link{
        info.ifi_index,
        attributes.string(IFLA_IFNAME),
        attributes.nested(IFLA_LINKINFO).string(IFLA_INFO_KIND),
        elsewhere ? 0 : static_cast<int>(attributes.uint32(IFLA_LINK)),
        info.ifi_flags,
        attributes.uint32(IFLA_MTU),
        !ipv6.has(IFLA_INET6_ADDR_GEN_MODE) ||
            ipv6.uint8(IFLA_INET6_ADDR_GEN_MODE) == IN6_ADDR_GEN_MODE_NONE,
    };
}

Result<std::optional<Link>> findLink(int ifindex) {
    Request<ifinfomsg> request(RTM_GETLINK, 0);
    request.fixed.ifi_index = ifindex;
    auto links = ask<Link, ifinfomsg>(request, "find segmenter", readLink);
    if (failed(links)) {
        if (failure(links).error == ENODEV) {
            return std::optional<Link>();
        }
        return std::move(failure(links));
    }
    return value(links).empty() ? std::optional<Link>()
                                : std::optional<Link>(std::move(value(links).front()));
}

/* Both ends, as they are; without the second where it is not that of a segmenter. */
struct Pair {
    Link sending;
    std::optional<Link> receiving;
};

bool isOurs(const Link &link, const SegmenterNames &names) {
    return link.kind == "veth" && link.name == names.sending;
}

/* Fails with EEXIST where something else has its index. */
Result<std::optional<Pair>> findPair(const SegmenterNames &names) {
    Result<std::optional<Link>> sending = findLink(names.ifindex);
    if (failed(sending)) {
        return std::move(failure(sending));
    }
    if (!value(sending)) {
        return std::optional<Pair>();
    }
    if (!isOurs(*value(sending), names)) {
        return Failure{EEXIST, "make segmenter"};
    }
    Pair pair{std::move(*value(sending)), std::nullopt};
    if (pair.sending.peer != 0) {
        Result<std::optional<Link>> receiving = findLink(pair.sending.peer);
        if (failed(receiving)) {
            return std::move(failure(receiving));
        }
        if (value(receiving) && value(receiving)->name == names.receiving) {
            pair.receiving = std::move(value(receiving));
        }
    }
    return std::optional<Pair>(std::move(pair));
}

Result<bool> isRight(const Link &link, const End &end) {
    constexpr uint32_t wanted = IFF_UP | IFF_NOARP;
    if ((link.flags & wanted) != wanted || link.mtu != mtu || !link.quiet) {
        return false;
    }
    Result<bool> offloads = hasOffloads(end.name, end.isUnwanted);
    if (failed(offloads)) {
        return offloads;
    }
    return !value(offloads);
}

Result<Done> create(const SegmenterNames &names) {
    Request<ifinfomsg> request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    request.fixed.ifi_index = names.ifindex;
    request.fixed.ifi_flags = IFF_NOARP;
    request.fixed.ifi_change = IFF_NOARP;
    request.putString(IFLA_IFNAME, names.sending);
    request.put(IFLA_ADDRESS, sendingAddress, sizeof(sendingAddress));
    request.putUint32(IFLA_MTU, mtu);
    request.putUint32(IFLA_NUM_TX_QUEUES, 1);
    request.putUint32(IFLA_NUM_RX_QUEUES, 1);
    size_t info = request.begin(IFLA_LINKINFO);
    request.putString(IFLA_INFO_KIND, "veth");
    size_t data = request.begin(IFLA_INFO_DATA);
    size_t peer = request.begin(VETH_INFO_PEER);
    ifinfomsg receiving = {};
    receiving.ifi_flags = IFF_NOARP;
    receiving.ifi_change = IFF_NOARP;
    request.raw(&receiving, sizeof(receiving));
    request.putString(IFLA_IFNAME, names.receiving);
    request.put(IFLA_ADDRESS, receivingAddress, sizeof(receivingAddress));
    request.putUint32(IFLA_MTU, mtu);
    request.putUint32(IFLA_NUM_TX_QUEUES, 1);
    request.putUint32(IFLA_NUM_RX_QUEUES, 1);
    request.end(peer);
    request.end(data);
    request.end(info);
    return tell(request, "make segmenter");
}

Result<Done> destroy(int ifindex) {
    Request<ifinfomsg> request(RTM_DELLINK, 0);
    request.fixed.ifi_index = ifindex;
    Result<Done> removed = tell(request, "remove segmenter");
    if (failed(removed) && failure(removed).error == ENODEV) {
        return Done{};
    }
    return removed;
}

Result<Done> setFlags(int ifindex, uint32_t flags, const AttributeWriter *more = nullptr) {
    Request<ifinfomsg> request(RTM_SETLINK, 0);
    request.fixed.ifi_index = ifindex;
    request.fixed.ifi_flags = flags;
    request.fixed.ifi_change = flags;
    if (more != nullptr) {
        request.raw(more->bytes().data(), more->bytes().size());
    }
    return tell(request, "set up segmenter");
}

/* Before it is up: an address would be made at that moment. */
Result<Done> setProperties(int ifindex, bool withIpv6) {
    AttributeWriter properties;
    properties.putUint32(IFLA_MTU, mtu);
    size_t families = properties.begin(IFLA_AF_SPEC);
    if (withIpv6) {
        size_t ipv6 = properties.begin(AF_INET6);
        properties.putUint8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
        properties.end(ipv6);
    }
    properties.end(families);
    Result<Done> set = setFlags(ifindex, IFF_NOARP, &properties);
    /* A kernel, or a host, without IPv6. */
    if (withIpv6 && failed(set) && failure(set).error == EAFNOSUPPORT) {
        return setProperties(ifindex, false);
    }
    return set;
}

/*
 * Where /proc/sys may not be written to, as in many a container, the device keeps IPv6 without an
 * address.
 */
void disableIpv6(const std::string &device) {
    Fd file(open(("/proc/sys/net/ipv6/conf/" + device + "/disable_ipv6").c_str(),
                 O_WRONLY | O_CLOEXEC));
    if (file.valid()) {
        [[maybe_unused]] ssize_t written = write(file.get(), "1", 1);
    }
}

/*
 * The kernel makes a route for multicast on each device that has IPv6 and comes up; mostly there is
 * none here.
 */
Result<bool> hide(const Link &link, const End &end) {
    /* It does so when it gets to know of the carrier, which may be later. */
    Result<Done> settled = settleCarrier(end.name);
    if (failed(settled)) {
        return std::move(failure(settled));
    }
    constexpr uint8_t all[16] = {0xff};
    Request<rtmsg> request(RTM_DELROUTE, 0);
    request.fixed.rtm_family = AF_INET6;
    request.fixed.rtm_dst_len = 8;
    request.fixed.rtm_table = RT_TABLE_LOCAL;
    request.fixed.rtm_scope = RT_SCOPE_NOWHERE;
    request.put(RTA_DST, all, sizeof(all));
    request.putUint32(RTA_OIF, static_cast<uint32_t>(link.ifindex));
    tell(request, "remove route");
    return true;
}

Result<Done> setUp(const Link &link, const End &end) {
    Result<Done> step = turnOffloadsOff(end.name, end.isUnwanted);
    if (!failed(step)) {
        step = setProperties(link.ifindex, true);
    }
    if (!failed(step)) {
        disableIpv6(end.name);
        step = setFlags(link.ifindex, IFF_UP);
    }
    return step;
}

/* Calls `each` with both ends, until it fails or gives false; gives what it gave last. */
template <typename Function>
Result<bool> forBoth(const Pair &pair, const SegmenterNames &names, Function each) {
    Result<bool> first = each(pair.sending, End{names.sending, isUnwantedSending});
    if (failed(first) || !value(first)) {
        return first;
    }
    return each(*pair.receiving, End{names.receiving, isUnwantedReceiving});
}

/* Whether anything had to be put right. */
Result<bool> putRight(const Pair &pair, const SegmenterNames &names) {
    bool changed = false;
    Result<bool> done = forBoth(pair, names, [&](const Link &link, const End &end) -> Result<bool> {
        Result<bool> right = isRight(link, end);
        if (failed(right) || value(right)) {
            return right;
        }
        changed = true;
        Result<Done> step = setUp(link, end);
        if (failed(step)) {
            return std::move(failure(step));
        }
        return true;
    });
    if (failed(done)) {
        return done;
    }
    Result<bool> hidden = forBoth(pair, names, hide);
    return failed(hidden) ? hidden : changed;
}

/* Fails with ENODEV where it has gone, in part or as a whole. */
Result<Pair> findWhole(const SegmenterNames &names) {
    constexpr const char *step = "make segmenter";
    Result<std::optional<Pair>> pair = findPair(names);
    if (failed(pair)) {
        return std::move(failure(pair));
    }
    if (!value(pair) || !value(pair)->receiving) {
        return Failure{ENODEV, step};
    }
    return std::move(*value(pair));
}

Result<Segmenter> makeRight(const SegmenterNames &names, bool made) {
    Result<Pair> pair = findWhole(names);
    if (failed(pair)) {
        return std::move(failure(pair));
    }
    Result<bool> changed = putRight(value(pair), names);
    if (!failed(changed) && value(changed)) {
        pair = findWhole(names);
        if (failed(pair)) {
            return std::move(failure(pair));
        }
        Result<bool> right = forBoth(value(pair), names, isRight);
        if (failed(right) || !value(right)) {
            return failed(right) ? std::move(failure(right)) : Failure{ESTALE, "set up segmenter"};
        }
    }
    if (failed(changed)) {
        return std::move(failure(changed));
    }
    return Segmenter{value(pair).receiving->ifindex, made, value(changed) && !made};
}

Result<Segmenter> makeOnce(const SegmenterNames &names) {
    Result<std::optional<Pair>> pair = findPair(names);
    if (failed(pair)) {
        return std::move(failure(pair));
    }
    if (value(pair) && value(pair)->receiving) {
        return makeRight(names, false);
    }
    if (value(pair)) {
        /* Half of it has been taken away: of no use to anybody. */
        Result<Done> destroyed = destroy(names.ifindex);
        if (failed(destroyed)) {
            return std::move(failure(destroyed));
        }
    }
    Result<Done> created = create(names);
    if (failed(created)) {
        return std::move(failure(created));
    }
    Result<Segmenter> right = makeRight(names, true);
    if (failed(right)) {
        destroy(names.ifindex);
    }
    return right;
}

/* How often to start again when somebody takes it away under us. */
constexpr int attempts = 16;

} // namespace

Result<Segmenter> makeSegmenter(const SegmenterNames &names) {
    Result<Segmenter> made = makeOnce(names);
    for (int attempt = 1; attempt < attempts && failed(made) && failure(made).error == ENODEV;
         attempt++) {
        made = makeOnce(names);
    }
    return made;
}

Result<Done> removeSegmenter(const SegmenterNames &names) {
    Result<std::optional<Link>> found = findLink(names.ifindex);
    if (failed(found)) {
        return std::move(failure(found));
    }
    if (!value(found) || !isOurs(*value(found), names)) {
        return Done{};
    }
    return destroy(names.ifindex);
}

Napi::Value toJs(Napi::Env env, Segmenter &&segmenter) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("receiver", Napi::Number::New(env, segmenter.receiver));
    object.Set("made", Napi::Boolean::New(env, segmenter.made));
    object.Set("repaired", Napi::Boolean::New(env, segmenter.repaired));
    return object;
}

} // namespace sfunnel
