#include "link_watch.h"

#include <memory>

#include "instance.h"
#include "netlink.h"
#include "netns.h"
#include "promise.h"
#include "socket_watch.h"

namespace sfunnel {
namespace {

constexpr const char *step = "watch devices";

/* Any device that goes; and what changes at this one or at its peer. */
bool isRelevant(const nlmsghdr &header, const uint8_t *body, int ifindex) {
    size_t length = header.nlmsg_len - NLMSG_HDRLEN;
    auto same = [ifindex](uint32_t index) { return static_cast<int>(index) == ifindex; };
    if (header.nlmsg_type == RTM_NEWLINK && length >= sizeof(ifinfomsg)) {
        ifinfomsg info;
        std::memcpy(&info, body, sizeof(info));
        return info.ifi_index == ifindex ||
               same(attributesOf(header, body, sizeof(info)).uint32(IFLA_LINK));
    }
    return header.nlmsg_type == RTM_DELLINK;
}

class WatchObject final : public Napi::ObjectWrap<WatchObject> {
  public:
    /* Called from JavaScript, through `constructor`, it makes one that is closed. */
    using ObjectWrap::ObjectWrap;

    static Napi::Function define(Napi::Env env) {
        return DefineClass(env, "NativeWatch",
                           {InstanceMethod<&WatchObject::start>("start", napi_default_method),
                            InstanceMethod<&WatchObject::close>("close", napi_default_method)});
    }

    void hold(LinkListener listener) {
        watch_ = std::make_unique<SocketWatch>(
            std::move(listener.socket),
            [ifindex = listener.ifindex](const nlmsghdr &header, const uint8_t *body) {
                return isRelevant(header, body, ifindex);
            },
            std::chrono::milliseconds(0), step);
    }

  private:
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
    }

    std::unique_ptr<SocketWatch> watch_;
    bool started_ = false;
};

} // namespace

Result<LinkListener> listenToLinks(const std::string &netns, int ifindex) {
    return inNetns<LinkListener>(netns, [=]() -> Result<LinkListener> {
        Result<Fd> listening = listenTo({RTNLGRP_LINK}, step);
        if (failed(listening)) {
            return std::move(failure(listening));
        }
        return LinkListener{std::move(value(listening)), ifindex};
    });
}

Napi::Value toJs(Napi::Env env, LinkListener &&listener) {
    Napi::Object object = instance(env).watch.New({});
    WatchObject::Unwrap(object)->hold(std::move(listener));
    return object;
}

Napi::Function defineLinkWatch(Napi::Env env) {
    return WatchObject::define(env);
}

} // namespace sfunnel
