#include "routes.h"

#include <sys/socket.h>

#include <algorithm>
#include <tuple>

#include "netlink.h"
#include "route_message.h"

namespace sfunnel {
namespace {

constexpr const char *step = "list routes";

auto orderOf(const Prefix &prefix) {
    return std::tie(prefix.family, prefix.address, prefix.length);
}

bool isBefore(const Route &one, const Route &other) {
    return orderOf(one.destination) < orderOf(other.destination);
}

bool isSame(const Route &one, const Route &other) {
    return orderOf(one.destination) == orderOf(other.destination);
}

/* Of two that are the same, the one with the smaller MTU comes first. */
bool isBeforeWithMtu(const Route &one, const Route &other) {
    bool without = one.mtu == 0, otherWithout = other.mtu == 0;
    return std::tuple_cat(orderOf(one.destination), std::tie(without, one.mtu)) <
           std::tuple_cat(orderOf(other.destination), std::tie(otherWithout, other.mtu));
}

/* What stays where not all can. */
bool isMoreImportant(const Route &one, const Route &other) {
    bool without = one.mtu == 0, otherWithout = other.mtu == 0;
    return std::tuple_cat(std::tie(without, one.destination.length), orderOf(one.destination)) <
           std::tuple_cat(std::tie(otherWithout, other.destination.length),
                          orderOf(other.destination));
}

/* Asks for the routes of one family, over one device: the kernel itself picks them. */
class Dump {
  public:
    Dump(uint8_t family, int ifindex, std::vector<Route> &routes)
        : family_(family), ifindex_(ifindex), routes_(routes) {}

    /* False: the tables have changed meanwhile, in a way that may hide some. */
    Result<bool> run() {
        Result<Fd> asked = ask();
        if (failed(asked)) {
            return std::move(failure(asked));
        }
        /* A part of a dump has at most this. */
        Bytes buffer(32768);
        while (!done_) {
            sockaddr_nl sender = {};
            socklen_t senderLength = sizeof(sender);
            ssize_t length = recvfrom(value(asked).get(), buffer.data(), buffer.size(), MSG_TRUNC,
                                      reinterpret_cast<sockaddr *>(&sender), &senderLength);
            if (length < 0 && errno != EINTR) {
                return lastError(step);
            }
            if (length < 0 || sender.nl_pid != 0) {
                continue;
            }
            if (static_cast<size_t>(length) > buffer.size()) {
                return Failure{EMSGSIZE, step};
            }
            Result<Done> read = readMessages(
                buffer.data(), static_cast<size_t>(length), step,
                [this](const nlmsghdr &header, const uint8_t *body) { return hear(header, body); });
            if (failed(read)) {
                return std::move(failure(read));
            }
        }
        return !interrupted_;
    }

  private:
    Result<Fd> ask() {
        Fd asking(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
        int strict = 1;
        /* Without, the kernel (4.20) overlooks the device and lists all there is. */
        if (!asking.valid() || setsockopt(asking.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK,
                                          &strict, sizeof(strict)) != 0) {
            return lastError(step);
        }
        Request<rtmsg> request(RTM_GETROUTE, NLM_F_DUMP);
        request.fixed.rtm_family = family_;
        request.putUint32(RTA_OIF, static_cast<uint32_t>(ifindex_));
        Bytes encoded = request.encode();
        sockaddr_nl kernel = {};
        kernel.nl_family = AF_NETLINK;
        if (sendto(asking.get(), encoded.data(), encoded.size(), 0,
                   reinterpret_cast<sockaddr *>(&kernel), sizeof(kernel)) < 0) {
            return lastError(step);
        }
        return asking;
    }

    Result<Done> hear(const nlmsghdr &header, const uint8_t *body) {
        interrupted_ = interrupted_ || (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
            done_ = true;
            int error = 0;
            if (header.nlmsg_len >= NLMSG_LENGTH(sizeof(error))) {
                std::memcpy(&error, body, sizeof(error));
            }
            return error < 0 ? Result<Done>(Failure{-error, step}) : Done{};
        }
        std::optional<RouteMessage> message = readRoute(header, body);
        /* A kernel without IPv6 answers with what it has. */
        if (!message || message->route.destination.family != family_ || !message->leavesBy) {
            return Done{};
        }
        routes_.push_back(message->route);
        return Done{};
    }

    uint8_t family_;
    int ifindex_;
    std::vector<Route> &routes_;
    bool done_ = false;
    bool interrupted_ = false;
};

Result<std::vector<Route>> list(int ifindex) {
    /* Then it is good as it is: whoever watches hears of what it lacks. */
    constexpr int attempts = 4;
    std::vector<Route> routes;
    for (uint8_t family : {AF_INET, AF_INET6}) {
        size_t before = routes.size();
        for (int attempt = 1; attempt <= attempts; attempt++) {
            routes.resize(before);
            Result<bool> consistent = Dump(family, ifindex, routes).run();
            if (failed(consistent)) {
                return std::move(failure(consistent));
            }
            if (value(consistent)) {
                break;
            }
        }
    }
    return routes;
}

/* Leaves out whatever the longest prefix tells without it. */
Routes pick(std::vector<Route> all) {
    std::sort(all.begin(), all.end(), isBeforeWithMtu);
    all.erase(std::unique(all.begin(), all.end(), isSame), all.end());
    Routes picked = {};
    std::vector<Route> around;
    for (const Route &route : all) {
        while (!around.empty() && !covers(around.back().destination, route.destination)) {
            around.pop_back();
        }
        if (route.mtu == (around.empty() ? 0 : around.back().mtu)) {
            continue;
        }
        if (around.empty()) {
            picked.outermost.push_back(route.destination);
        }
        around.push_back(route);
        picked.routes.push_back(route);
    }
    return picked;
}

void cut(Routes &picked, uint32_t most) {
    std::vector<Route> &routes = picked.routes;
    if (routes.size() <= most) {
        return;
    }
    picked.leftOut = static_cast<uint32_t>(routes.size() - most);
    std::nth_element(routes.begin(), routes.begin() + most, routes.end(), isMoreImportant);
    routes.resize(most);
    std::sort(routes.begin(), routes.end(), isBefore);
}

} // namespace

bool covers(const Prefix &outer, const Prefix &inner) {
    if (outer.family != inner.family || outer.length > inner.length) {
        return false;
    }
    size_t bytes = outer.length / 8, bits = outer.length % 8;
    if (std::memcmp(outer.address.data(), inner.address.data(), bytes) != 0) {
        return false;
    }
    return bits == 0 || (outer.address[bytes] ^ inner.address[bytes]) >> (8 - bits) == 0;
}

Result<Routes> routesOver(int ifindex, uint32_t most) {
    Result<std::vector<Route>> all = list(ifindex);
    if (failed(all)) {
        return std::move(failure(all));
    }
    Routes picked = pick(std::move(value(all)));
    cut(picked, most);
    return picked;
}

Napi::Value toJs(Napi::Env env, Routes &&routes) {
    constexpr size_t room = sizeof(Prefix::address);
    Napi::Array list = Napi::Array::New(env, routes.routes.size());
    /* One for all: there may be many. */
    Napi::ArrayBuffer addresses = Napi::ArrayBuffer::New(env, routes.routes.size() * room);
    for (uint32_t i = 0; i < routes.routes.size(); i++) {
        Napi::HandleScope scope(env);
        const auto &[destination, mtu] = routes.routes[i];
        bool isIpv4 = destination.family == AF_INET;
        std::memcpy(static_cast<uint8_t *>(addresses.Data()) + i * room, destination.address.data(),
                    room);
        Napi::Object object = Napi::Object::New(env);
        object.Set("family", Napi::Number::New(env, isIpv4 ? 4 : 6));
        object.Set("destination",
                   Napi::Uint8Array::New(env, isIpv4 ? 4 : room, addresses, i * room));
        object.Set("prefixLength", Napi::Number::New(env, destination.length));
        object.Set("mtu", Napi::Number::New(env, mtu));
        list.Set(i, object);
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("routes", list);
    object.Set("leftOut", Napi::Number::New(env, routes.leftOut));
    return object;
}

} // namespace sfunnel
