#include "netlink.h"

#include <sys/socket.h>

namespace sfunnel {
namespace {

class Conversation {
  public:
    Conversation(size_t fixedSize, const char *step, const Each &each)
        : fixedSize_(fixedSize), step_(step), each_(each) {}

    Result<bool> hold(const Bytes &request) {
        socket_ = Fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
        if (!socket_.valid()) {
            return lastError(step_);
        }
        sockaddr_nl kernel = {};
        kernel.nl_family = AF_NETLINK;
        if (sendto(socket_.get(), request.data(), request.size(), 0,
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
        return readMessages(
            buffer_.data(), static_cast<size_t>(length), step_,
            [this](const nlmsghdr &header, const uint8_t *body) { return message(header, body); });
    }

    Result<Done> message(const nlmsghdr &header, const uint8_t *body) {
        if (done_) {
            return Done{};
        }
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
            each_(body, attributesOf(header, body, fixedSize_));
        }
        return Done{};
    }

    size_t fixedSize_;
    const char *step_;
    const Each &each_;
    Fd socket_;
    Bytes buffer_;
    bool done_ = false;
    bool interrupted_ = false;
};

} // namespace

std::string Attributes::string(uint16_t type) const {
    auto [data, length] = find(type);
    return data == nullptr ? std::string()
                           : std::string(reinterpret_cast<const char *>(data),
                                         strnlen(reinterpret_cast<const char *>(data), length));
}

uint32_t Attributes::uint32(uint16_t type) const {
    return word(type, 0);
}

uint8_t Attributes::uint8(uint16_t type) const {
    auto [data, length] = find(type);
    return length == 0 ? 0 : *data;
}

Attributes Attributes::nested(uint16_t type) const {
    auto [data, length] = find(type);
    return Attributes(data, length);
}

uint32_t Attributes::word(uint16_t type, size_t index) const {
    uint32_t number = 0;
    auto [data, length] = find(type);
    if (length / sizeof(number) > index) {
        std::memcpy(&number, data + index * sizeof(number), sizeof(number));
    }
    return number;
}

std::pair<const uint8_t *, size_t> Attributes::find(uint16_t type) const {
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

void AttributeWriter::put(uint16_t type, const void *data, size_t length) {
    size_t begun = begin(type);
    raw(data, length);
    /* Without what fills it up. */
    setLength(begun, RTA_LENGTH(length));
}

void AttributeWriter::putUint32(uint16_t type, uint32_t value) {
    put(type, &value, sizeof(value));
}

void AttributeWriter::putUint8(uint16_t type, uint8_t value) {
    put(type, &value, sizeof(value));
}

void AttributeWriter::putString(uint16_t type, const std::string &value) {
    put(type, value.c_str(), value.size() + 1);
}

size_t AttributeWriter::begin(uint16_t type) {
    size_t begun = bytes_.size();
    rtattr header = {};
    header.rta_type = type;
    raw(&header, sizeof(header));
    return begun;
}

void AttributeWriter::raw(const void *data, size_t length) {
    const uint8_t *first = static_cast<const uint8_t *>(data);
    bytes_.insert(bytes_.end(), first, first + length);
    bytes_.resize(RTA_ALIGN(bytes_.size()));
}

void AttributeWriter::end(size_t begun) {
    setLength(begun, bytes_.size() - begun);
}

void AttributeWriter::setLength(size_t begun, size_t length) {
    rtattr header;
    std::memcpy(&header, bytes_.data() + begun, sizeof(header));
    header.rta_len = static_cast<uint16_t>(length);
    std::memcpy(bytes_.data() + begun, &header, sizeof(header));
}

Result<Done> readMessages(const uint8_t *datagram, size_t length, const char *step,
                          const EachMessage &each) {
    size_t offset = 0;
    while (offset + sizeof(nlmsghdr) <= length) {
        nlmsghdr header;
        std::memcpy(&header, datagram + offset, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > length - offset) {
            return Failure{EBADMSG, step};
        }
        Result<Done> read = each(header, datagram + offset + NLMSG_HDRLEN);
        if (failed(read)) {
            return read;
        }
        offset += NLMSG_ALIGN(header.nlmsg_len);
    }
    return Done{};
}

Attributes attributesOf(const nlmsghdr &header, const uint8_t *body, size_t fixedSize) {
    size_t length = header.nlmsg_len - NLMSG_HDRLEN;
    size_t skip = NLMSG_ALIGN(fixedSize);
    return Attributes(body + skip, length > skip ? length - skip : 0);
}

Result<bool> converse(const Bytes &request, size_t fixedSize, const char *step, const Each &each) {
    return Conversation(fixedSize, step, each).hold(request);
}

} // namespace sfunnel
