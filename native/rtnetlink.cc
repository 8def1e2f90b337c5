#include "rtnetlink.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <net/if.h>

#include <cstddef>

#include "netlink.h"

namespace sfunnel {
namespace {

std::optional<Device> readDevice(const ifinfomsg &info, const Attributes &attributes) {
    return Device{info.ifi_index, attributes.string(IFLA_IFNAME), attributes.uint32(IFLA_MTU),
                  info.ifi_type};
}

std::optional<Lost> readLost(const ifinfomsg &, const Attributes &attributes) {
    constexpr size_t word = sizeof(uint32_t);
    constexpr size_t first = offsetof(rtnl_link_stats64, tx_dropped) / word;
    uint32_t words[] = {attributes.word(IFLA_STATS64, first),
                        attributes.word(IFLA_STATS64, first + 1)};
    Lost lost = {};
    static_assert(sizeof(lost.packets) == sizeof(words));
    std::memcpy(&lost.packets, words, sizeof(words));
    return lost;
}

struct QdiscEntry {
    int ifindex;
    std::string kind;
};

std::optional<QdiscEntry> readIngressQdisc(const tcmsg &info, const Attributes &attributes) {
    /* Both clsact and ingress stand here and nothing else does. */
    if (info.tcm_parent != TC_H_INGRESS) {
        return std::nullopt;
    }
    return QdiscEntry{info.tcm_ifindex, attributes.string(TCA_KIND)};
}

std::optional<Filter> readFilter(const tcmsg &info, const Attributes &attributes) {
    Attributes options = attributes.nested(TCA_OPTIONS);
    Filter filter{};
    filter.kind = attributes.string(TCA_KIND);
    filter.chain = attributes.uint32(TCA_CHAIN);
    filter.protocol = ntohs(static_cast<uint16_t>(TC_H_MIN(info.tcm_info)));
    filter.priority = TC_H_MAJ(info.tcm_info) >> 16;
    filter.handle = info.tcm_handle;
    if (filter.kind == "bpf") {
        filter.name = options.string(TCA_BPF_NAME);
        filter.programId = options.uint32(TCA_BPF_ID);
    }
    return filter;
}

Result<std::vector<Filter>> listFilters(int ifindex, Direction direction) {
    Request<tcmsg> request(RTM_GETTFILTER, NLM_F_DUMP);
    request.fixed.tcm_family = AF_UNSPEC;
    request.fixed.tcm_ifindex = ifindex;
    request.fixed.tcm_parent = TC_H_MAKE(
        TC_H_CLSACT, direction == Direction::ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    auto filters = ask<Filter, tcmsg>(request, "list filters", readFilter);
    if (!failed(filters)) {
        for (Filter &filter : value(filters)) {
            filter.direction = direction;
        }
    }
    return filters;
}

} // namespace

Result<Device> findDevice(const std::string &name) {
    constexpr const char *step = "find device";
    if (name.empty() || name.size() >= IFNAMSIZ || name.find('\0') != std::string::npos) {
        return Failure{ENODEV, step};
    }
    Request<ifinfomsg> request(RTM_GETLINK, 0);
    request.putString(IFLA_IFNAME, name);
    auto devices = ask<Device, ifinfomsg>(request, step, readDevice);
    if (failed(devices)) {
        return std::move(failure(devices));
    }
    if (value(devices).empty()) {
        return Failure{ENODEV, step};
    }
    return std::move(value(devices).front());
}

Result<std::vector<Device>> listDevices() {
    return ask<Device, ifinfomsg>(Request<ifinfomsg>(RTM_GETLINK, NLM_F_DUMP), "list devices",
                                  readDevice);
}

Result<Lost> lostAt(int ifindex) {
    Request<ifinfomsg> request(RTM_GETLINK, 0);
    request.fixed.ifi_index = ifindex;
    auto devices = ask<Lost, ifinfomsg>(request, "count packets", readLost);
    if (failed(devices)) {
        return std::move(failure(devices));
    }
    return value(devices).front();
}

Result<std::string> qdiscKind(int ifindex) {
    Request<ifinfomsg> device(RTM_GETLINK, 0);
    device.fixed.ifi_index = ifindex;
    auto devices = ask<Device, ifinfomsg>(device, "find device", readDevice);
    if (failed(devices)) {
        return std::move(failure(devices));
    }
    Request<tcmsg> request(RTM_GETQDISC, NLM_F_DUMP);
    request.fixed.tcm_family = AF_UNSPEC;
    request.fixed.tcm_ifindex = ifindex;
    auto qdiscs = ask<QdiscEntry, tcmsg>(request, "list qdiscs", readIngressQdisc);
    if (failed(qdiscs)) {
        return std::move(failure(qdiscs));
    }
    /* The kernel gives those of all devices, whatever the request says. */
    for (QdiscEntry &entry : value(qdiscs)) {
        if (entry.ifindex == ifindex) {
            return std::move(entry.kind);
        }
    }
    return std::string();
}

Result<Qdisc> qdisc(int ifindex) {
    Result<std::string> kind = qdiscKind(ifindex);
    if (failed(kind)) {
        return std::move(failure(kind));
    }
    Qdisc found{std::move(value(kind)), {}};
    for (Direction direction : {Direction::ingress, Direction::egress}) {
        /* "ingress" has one block only and shows it for whatever direction it is asked for. */
        if (found.kind.empty() || (found.kind == "ingress" && direction == Direction::egress)) {
            continue;
        }
        auto filters = listFilters(ifindex, direction);
        if (failed(filters)) {
            return std::move(failure(filters));
        }
        for (Filter &filter : value(filters)) {
            found.filters.push_back(std::move(filter));
        }
    }
    return found;
}

} // namespace sfunnel
