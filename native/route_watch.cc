#include "route_watch.h"

#include <linux/nexthop.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <mutex>

#include "instance.h"
#include "promise.h"
#include "route_message.h"
#include "routes.h"
#include "socket_watch.h"

namespace sfunnel {
namespace {

constexpr const char *step = "watch routes";
constexpr std::chrono::milliseconds delay{50};

/*
 * The prefixes inside which a change may matter. A host may have very many routes that come and
 * go all day, and no MTU at any of them: then it is asked for its routes once.
 */
class Concern {
  public:
    bool isEmpty() const {
        std::lock_guard<std::mutex> guard(mutex_);
        return prefixes_.empty();
    }

    bool includes(const Prefix &prefix) const {
        std::lock_guard<std::mutex> guard(mutex_);
        return includes(prefixes_, prefix);
    }

    /* Whether there is now something in it that was not before. */
    bool replace(std::vector<Prefix> prefixes) {
        std::lock_guard<std::mutex> guard(mutex_);
        prefixes_.swap(prefixes);
        return !std::all_of(prefixes_.begin(), prefixes_.end(),
                            [&](const Prefix &prefix) { return includes(prefixes, prefix); });
    }

  private:
    /* They are in order, and none lies in another. */
    static bool includes(const std::vector<Prefix> &prefixes, const Prefix &prefix) {
        auto isBefore = [](const Prefix &one, const Prefix &other) {
            return std::tie(one.family, one.address, one.length) <
                   std::tie(other.family, other.address, other.length);
        };
        auto behind = std::upper_bound(prefixes.begin(), prefixes.end(), prefix, isBefore);
        return behind != prefixes.begin() && covers(*std::prev(behind), prefix);
    }

    mutable std::mutex mutex_;
    std::vector<Prefix> prefixes_;
};

/* What calls that are under way share with the watch. */
struct Watched {
    Netns netns;
    int ifindex;
    Concern concern = {};
};

Result<Routes> readRoutes(Watched &watched, uint32_t most) {
    /* More than one, where MTUs come faster than they can be read; each of them is heard of. */
    constexpr int attempts = 8;
    for (int attempt = 1;; attempt++) {
        Result<Routes> routes = watched.netns.run<Routes>(
            [&watched, most] { return routesOver(watched.ifindex, most); });
        if (failed(routes)) {
            return routes;
        }
        /* Changes inside what is new may have gone by unheeded while it was read. */
        if (!watched.concern.replace(value(routes).outermost) || attempt == attempts) {
            return routes;
        }
    }
}

template <typename Fixed>
bool isAbout(int Fixed::*index, const nlmsghdr &header, const uint8_t *body, int ifindex) {
    Fixed fixed;
    if (header.nlmsg_len < NLMSG_LENGTH(sizeof(fixed))) {
        return false;
    }
    std::memcpy(&fixed, body, sizeof(fixed));
    return fixed.*index == ifindex;
}

bool isRouteOfConcern(const RouteMessage &message, bool replaces, const Watched &watched) {
    bool isOver = message.leavesBy && message.mayBeOver(watched.ifindex);
    if (isOver && message.route.mtu != 0) {
        return true;
    }
    /* The one that was replaced may have been over this device. */
    return (isOver || replaces) && watched.concern.includes(message.route.destination);
}

/*
 * Of the routes that IPv4 loses with a link, an address or a next hop, the kernel says nothing.
 */
bool matters(const nlmsghdr &header, const uint8_t *body, const Watched &watched) {
    bool replaces = (header.nlmsg_flags & NLM_F_REPLACE) != 0;
    switch (header.nlmsg_type) {
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
        std::optional<RouteMessage> message = readRoute(header, body);
        return message && isRouteOfConcern(*message, replaces, watched);
    }
    case RTM_DELLINK:
        return isAbout(&ifinfomsg::ifi_index, header, body, watched.ifindex);
    case RTM_NEWLINK:
        return isAbout(&ifinfomsg::ifi_index, header, body, watched.ifindex) &&
               !watched.concern.isEmpty();
    case RTM_DELADDR:
    case RTM_DELNEXTHOP:
        return !watched.concern.isEmpty();
    case RTM_NEWNEXTHOP:
        return replaces;
    default:
        return false;
    }
}

class RouteWatchObject final : public Napi::ObjectWrap<RouteWatchObject> {
  public:
    /* Called from JavaScript, through `constructor`, it makes one that is closed. */
    using ObjectWrap::ObjectWrap;

    static Napi::Function define(Napi::Env env) {
        return DefineClass(
            env, "NativeRouteWatch",
            {InstanceMethod<&RouteWatchObject::routes>("routes", napi_default_method),
             InstanceMethod<&RouteWatchObject::start>("start", napi_default_method),
             InstanceMethod<&RouteWatchObject::close>("close", napi_default_method)});
    }

    void hold(RouteListener listener) {
        watched_.reset(new Watched{std::move(listener.netns), listener.ifindex});
        watch_ = std::make_unique<SocketWatch>(
            std::move(listener.socket),
            [watched = watched_](const nlmsghdr &header, const uint8_t *body) {
                return matters(header, body, *watched);
            },
            delay, step);
    }

  private:
    Napi::Value routes(const Napi::CallbackInfo &info) {
        uint32_t most = Args(info).uint32(0, "most", 1);
        if (!watched_) {
            return failedPromise(info.Env(), Failure{EBADF, step});
        }
        return run<Routes>(info.Env(),
                           [watched = watched_, most] { return readRoutes(*watched, most); });
    }

    Napi::Value start(const Napi::CallbackInfo &info) {
        if (!info[0].IsFunction()) {
            throw Napi::TypeError::New(info.Env(), "callback must be a function");
        }
        if (!watch_ || started_) {
            return toJs(info.Env(), Failure{EBADF, step});
        }
        started_ = true;
        Result<Done> started = watch_->start(info.Env(), info[0].As<Napi::Function>());
        return failed(started) ? toJs(info.Env(), std::move(failure(started)))
                               : info.Env().Undefined();
    }

    void close(const Napi::CallbackInfo &) {
        watch_.reset();
        watched_.reset();
    }

    std::shared_ptr<Watched> watched_;
    std::unique_ptr<SocketWatch> watch_;
    bool started_ = false;
};

Result<Fd> openListener() {
    return listenTo({RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
                     RTNLGRP_NEXTHOP},
                    step);
}

} // namespace

Result<RouteListener> listenToRoutes(const std::string &path, int ifindex) {
    Result<Netns> netns = Netns::open(path);
    if (failed(netns)) {
        return std::move(failure(netns));
    }
    Result<Fd> listening = value(netns).run<Fd>(openListener);
    if (failed(listening)) {
        return std::move(failure(listening));
    }
    return RouteListener{std::move(value(netns)), std::move(value(listening)), ifindex};
}

Napi::Value toJs(Napi::Env env, RouteListener &&listener) {
    Napi::Object object = instance(env).routeWatch.New({});
    RouteWatchObject::Unwrap(object)->hold(std::move(listener));
    return object;
}

Napi::Function defineRouteWatch(Napi::Env env) {
    return RouteWatchObject::define(env);
}

} // namespace sfunnel
