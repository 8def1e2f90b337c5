/*
 * Asks the kernel by rtnetlink about devices, the clsact hook and its filters, in the
 * namespace of the calling thread. Only asks: changes go through libbpf.
 */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "args.h"
#include "result.h"

namespace sfunnel {

struct Device {
    int ifindex;
    std::string name;
    uint32_t mtu;
    /* ARPHRD_* */
    uint32_t type;
};

struct Filter {
    Direction direction;
    std::string kind;
    uint32_t chain;
    /* ETH_P_*, host order. */
    uint16_t protocol;
    uint32_t priority;
    /* 0: the kernel's entry for the priority as a whole, which comes before its filters. */
    uint32_t handle;
    /* TCA_BPF_NAME and TCA_BPF_ID; empty and 0 for other kinds. */
    std::string name;
    uint32_t programId;
};

struct Qdisc {
    /* "clsact", "ingress", or "" for none. */
    std::string kind;
    std::vector<Filter> filters;
};

Result<Device> findDevice(const std::string &name);
Result<std::vector<Device>> listDevices();

/* Packets that a device was given to send, and that were lost there. */
struct Lost {
    uint64_t packets;
};

/* Since the device was made. Fails with ENODEV where there is no such device. */
Result<Lost> lostAt(int ifindex);

/* The qdisc at ffff: alone. Fails with ENODEV where there is no such device. */
Result<std::string> qdiscKind(int ifindex);
/* The qdisc with all its filters in both directions. */
Result<Qdisc> qdisc(int ifindex);

} // namespace sfunnel
