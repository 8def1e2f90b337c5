/* The language of rtnetlink: requests, attributes, answers. */
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "args.h"
#include "fd.h"
#include "result.h"

namespace sfunnel {

/* Read only; points into the message that the kernel sent. */
class Attributes {
  public:
    Attributes(const void *data, size_t length)
        : data_(static_cast<const uint8_t *>(data)), length_(length) {}

    bool has(uint16_t type) const {
        return find(type).first != nullptr;
    }
    std::string string(uint16_t type) const;
    /* 0 where it is missing. */
    uint32_t uint32(uint16_t type) const;
    uint8_t uint8(uint16_t type) const;
    Attributes nested(uint16_t type) const;
    /* One of an attribute that is a plain array, by its index; 0 where it is missing. */
    uint32_t word(uint16_t type, size_t index) const;

  private:
    std::pair<const uint8_t *, size_t> find(uint16_t type) const;

    const uint8_t *data_;
    size_t length_;
};

/* What a request carries behind the fixed part of its kind. */
class AttributeWriter {
  public:
    void put(uint16_t type, const void *data, size_t length);
    void putUint32(uint16_t type, uint32_t value);
    void putUint8(uint16_t type, uint8_t value);
    void putString(uint16_t type, const std::string &value);
    /* Opens one that holds others, until end() is given what this gave. */
    size_t begin(uint16_t type);
    /* Bytes that are no attribute of their own. */
    void raw(const void *data, size_t length);
    void end(size_t begun);

    const Bytes &bytes() const {
        return bytes_;
    }

  private:
    void setLength(size_t begun, size_t length);

    Bytes bytes_;
};

template <typename Fixed> struct Request : AttributeWriter {
    nlmsghdr header = {};
    Fixed fixed = {};

    Request(uint16_t type, uint16_t flags) {
        header.nlmsg_type = type;
        header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
        header.nlmsg_seq = 1;
    }

    /* As it goes to the kernel. */
    Bytes encode() const {
        constexpr size_t start = NLMSG_SPACE(sizeof(Fixed));
        Bytes message(start + bytes().size());
        nlmsghdr whole = header;
        whole.nlmsg_len = static_cast<uint32_t>(message.size());
        std::memcpy(message.data(), &whole, sizeof(whole));
        std::memcpy(message.data() + NLMSG_HDRLEN, &fixed, sizeof(fixed));
        std::copy(bytes().begin(), bytes().end(), message.begin() + start);
        return message;
    }
};

/* Reads a datagram that the kernel has sent, message by message, until one fails. */
using EachMessage = std::function<Result<Done>(const nlmsghdr &header, const uint8_t *body)>;

Result<Done> readMessages(const uint8_t *datagram, size_t length, const char *step,
                          const EachMessage &each);

/* What stands behind the fixed part of a message. */
Attributes attributesOf(const nlmsghdr &header, const uint8_t *body, size_t fixedSize);

/* One entry of an answer: the fixed part of its kind, and what stands behind that. */
using Each = std::function<void(const void *fixed, const Attributes &attributes)>;

/*
 * Sends a request, and reads the answer to its end. False: what was listed has changed meanwhile,
 * so that entries may be missing.
 */
Result<bool> converse(const Bytes &request, size_t fixedSize, const char *step, const Each &each);

/* Asks and gives what `read` makes of each message of the answer. */
template <typename Entry, typename Fixed>
Result<std::vector<Entry>> ask(const Request<Fixed> &request, const char *step,
                               std::optional<Entry> (*read)(const Fixed &, const Attributes &)) {
    /* How often to ask again for a table that changes while it is read. */
    constexpr int attempts = 16;
    Bytes encoded = request.encode();
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
        Result<bool> consistent = converse(encoded, sizeof(Fixed), step, each);
        if (failed(consistent)) {
            return std::move(failure(consistent));
        }
        if (value(consistent)) {
            return entries;
        }
    }
    return Failure{EAGAIN, step};
}

/* Asks for a change, and waits until the kernel has made it. */
template <typename Fixed> Result<Done> tell(Request<Fixed> request, const char *step) {
    request.header.nlmsg_flags |= NLM_F_ACK;
    Each nothing = [](const void *, const Attributes &) {};
    Result<bool> answered = converse(request.encode(), sizeof(Fixed), step, nothing);
    if (failed(answered)) {
        return std::move(failure(answered));
    }
    return Done{};
}

} // namespace sfunnel
