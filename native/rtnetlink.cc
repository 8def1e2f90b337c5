#include "rtnetlink.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>
#include <functional>
#include <optional>

#include "fd.h"

namespace sfunnel {
namespace {

/* Read only; points into the message that the kernel sent. */
class Attributes {
  public:
    Attributes(const void *data, size_t length)
        : data_(static_cast<const uint8_t *>(data)), length_(length) {}

    std::string string(uint16_t type) const {
        auto [data, length] = find(type);
        return data == nullptr ? std::string()
                               : std::string(reinterpret_cast<const char *>(data),
                                             strnlen(reinterpret_cast<const char *>(data), length));
    }
    uint32_t uint32(uint16_t type) const {
        uint32_t number = 0;
        auto [data, length] = find(type);
        if (length >= sizeof(number)) {
            std::memcpy(&number, data, sizeof(number));
        }
        return number;
    }
    Attributes nested(uint16_t type) const {
        auto [data, length] = find(type);
        return Attributes(data, length);
    }

  private:
    std::pair<const uint8_t *, size_t> find(uint16_t type) const {
        size_t offset = 0;
        while (offset + sizeof(rtattr) <= length_) {
            rtattr header;
            std::memcpy(&header, data_ + offset, sizeof(header));
            if (header.rta_len < sizeof(rtattr) || header.rta_len > length_ - offset) {
                break;
            }
            if ((header.rta_type & NLA_TYPE_MASK) == type) {
                return {data_ + offset + sizeof(rtattr), header.rta_len - sizeof(rtattr)};
            }
            offset += RTA_ALIGN(header.rta_len);
        }
        return {nullptr, 0};
    }

    const uint8_t *data_;
    size_t length_;
};

/* A request: header, the fixed part of its kind, and room for one attribute. */
template <typename Fixed> struct Request {
    nlmsghdr header = {};
    Fixed fixed = {};
    rtattr attribute = {};
    char text[RTA_ALIGN(IFNAMSIZ)] = {};

    Request(uint16_t type, uint16_t flags) {
        header.nlmsg_len = NLMSG_LENGTH(sizeof(Fixed));
        header.nlmsg_type = type;
        header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
        header.nlmsg_seq = 1;
    }
    /* Shorter than IFNAMSIZ. */
    void setText(uint16_t type, const std::string &value) {
        std::memcpy(text, value.c_str(), value.size() + 1);
        attribute.rta_type = type;
        attribute.rta_len = static_cast<uint16_t>(RTA_LENGTH(value.size() + 1));
        header.nlmsg_len =
            static_cast<uint32_t>(NLMSG_LENGTH(sizeof(Fixed)) + RTA_ALIGN(attribute.rta_len));
    }
};

/* The answer as the kernel gave it; false: the table changed meanwhile, ask again. */
using Each = std::function<void(const void *fixed, const Attributes &attributes)>;

class Conversation {
  public:
    Conversation(const nlmsghdr &request, size_t fixedSize, const char *step, const Each &each)
        : request_(request), fixedSize_(fixedSize), step_(step), each_(each) {}

    /* Whether the answer was consistent. */
    Result<bool> hold() {
        socket_ = Fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
        if (!socket_.valid()) {
            return lastError(step_);
        }
        sockaddr_nl kernel = {};
        kernel.nl_family = AF_NETLINK;
        if (sendto(socket_.get(), &request_, request_.nlmsg_len, 0,
                   reinterpret_cast<sockaddr *>(&kernel), sizeof(kernel)) < 0) {
            return lastError(step_);
        }
        while (!done_) {
            Result<Done> received = receive();
            if (failed(received)) {
                return std::move(failure(received));
            }
        }
        return !interrupted_;
    }

  private:
    Result<Done> receive() {
        sockaddr_nl sender = {};
        socklen_t senderLength = sizeof(sender);
        ssize_t waiting = recv(socket_.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC);
        if (waiting < 0) {
            return errno == EINTR ? Result<Done>(Done{}) : lastError(step_);
        }
        buffer_.resize(static_cast<size_t>(waiting));
        ssize_t length = recvfrom(socket_.get(), buffer_.data(), buffer_.size(), 0,
                                  reinterpret_cast<sockaddr *>(&sender), &senderLength);
        if (length < 0) {
            return errno == EINTR ? Result<Done>(Done{}) : lastError(step_);
        }
        if (sender.nl_pid != 0) {
            return Done{};
        }
        size_t offset = 0;
        while (!done_ && offset + sizeof(nlmsghdr) <= static_cast<size_t>(length)) {
            nlmsghdr header;
            std::memcpy(&header, buffer_.data() + offset, sizeof(header));
            if (header.nlmsg_len < sizeof(header) ||
                header.nlmsg_len > static_cast<size_t>(length) - offset) {
                return Failure{EBADMSG, step_};
            }
            Result<Done> read = message(header, buffer_.data() + offset + NLMSG_HDRLEN);
            if (failed(read)) {
                return read;
            }
            offset += NLMSG_ALIGN(header.nlmsg_len);
        }
        return Done{};
    }

    Result<Done> message(const nlmsghdr &header, const uint8_t *body) {
        size_t length = header.nlmsg_len - NLMSG_HDRLEN;
        interrupted_ = interrupted_ || (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
            done_ = true;
            int error = 0;
            if (length >= sizeof(error)) {
                std::memcpy(&error, body, sizeof(error));
            }
            return error < 0 ? Result<Done>(Failure{-error, step_}) : Done{};
        }
        done_ = (header.nlmsg_flags & NLM_F_MULTI) == 0;
        if (length >= fixedSize_) {
            size_t skip = NLMSG_ALIGN(fixedSize_);
            each_(body, Attributes(body + skip, length > skip ? length - skip : 0));
        }
        return Done{};
    }

    const nlmsghdr &request_;
    size_t fixedSize_;
    const char *step_;
    const Each &each_;
    Fd socket_;
    Bytes buffer_;
    bool done_ = false;
    bool interrupted_ = false;
};

/* A table that changes while it is read may lack entries: such an answer is asked for again. */
constexpr int attempts = 16;

/* Asks and gives what `read` makes of each message of the answer. */
template <typename Entry, typename Fixed>
Result<std::vector<Entry>> ask(const Request<Fixed> &request, const char *step,
                               std::optional<Entry> (*read)(const Fixed &, const Attributes &)) {
    for (int attempt = 0; attempt < attempts; attempt++) {
        std::vector<Entry> entries;
        Each each = [&](const void *data, const Attributes &attributes) {
            Fixed fixed;
            std::memcpy(&fixed, data, sizeof(fixed));
            std::optional<Entry> entry = read(fixed, attributes);
            if (entry) {
                entries.push_back(std::move(*entry));
            }
        };
        Result<bool> consistent = Conversation(request.header, sizeof(Fixed), step, each).hold();
        if (failed(consistent)) {
            return std::move(failure(consistent));
        }
        if (value(consistent)) {
            return entries;
        }
    }
    return Failure{EAGAIN, step};
}

std::optional<Device> readDevice(const ifinfomsg &info, const Attributes &attributes) {
    return Device{info.ifi_index, attributes.string(IFLA_IFNAME), attributes.uint32(IFLA_MTU),
                  info.ifi_type};
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
    request.setText(IFLA_IFNAME, name);
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
