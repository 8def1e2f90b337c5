#include "link_watch.h"

#include <linux/netconf.h>
#include <node_api.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <system_error>
#include <thread>

#include "instance.h"
#include "netlink.h"
#include "netns.h"
#include "promise.h"

namespace sfunnel {
namespace {

/* Any device that goes; and what changes at this one, at its peer, or in its IPv4 settings. */
bool isRelevant(const nlmsghdr &header, const uint8_t *body, int ifindex) {
    size_t length = header.nlmsg_len - NLMSG_HDRLEN;
    auto same = [ifindex](uint32_t index) { return static_cast<int>(index) == ifindex; };
    if (header.nlmsg_type == RTM_NEWLINK && length >= sizeof(ifinfomsg)) {
        ifinfomsg info;
        std::memcpy(&info, body, sizeof(info));
        return info.ifi_index == ifindex ||
               same(attributesOf(header, body, sizeof(info)).uint32(IFLA_LINK));
    }
    if (header.nlmsg_type == RTM_NEWNETCONF) {
        return same(attributesOf(header, body, sizeof(netconfmsg)).uint32(NETCONFA_IFINDEX));
    }
    return header.nlmsg_type == RTM_DELLINK;
}

/* On a thread of its own, which lives as long as this. */
class Watch {
  public:
    Watch(LinkListener listener) : listener_(std::move(listener)) {}
    Watch(const Watch &) = delete;
    Watch &operator=(const Watch &) = delete;
    ~Watch() {
        stop();
    }

    /* Calls back on the thread of the environment; keeps neither it nor its loop alive. */
    Result<Done> start(Napi::Env env, Napi::Function callback) {
        constexpr const char *step = "watch devices";
        stop_ = Fd(eventfd(0, EFD_CLOEXEC));
        if (!stop_.valid()) {
            return lastError(step);
        }
        /* With room for one call: more of them would say nothing new. */
        napi_value name = Napi::String::New(env, "sfunnel watch");
        if (napi_create_threadsafe_function(env, callback, nullptr, name, 1, 1, nullptr, nullptr,
                                            nullptr, call, &callback_) != napi_ok) {
            return Failure{ENOMEM, step};
        }
        napi_unref_threadsafe_function(env, callback_);
        /* Run before what Node itself does to the function when the environment ends. */
        env_ = env;
        napi_add_env_cleanup_hook(env_, atEnvironmentEnd, this);
        try {
            thread_ = std::thread([this]() noexcept { listen(); });
        } catch (const std::system_error &) {
            stop();
            return Failure{EAGAIN, "start a thread"};
        }
        return Done{};
    }

    void stop() {
        if (thread_.joinable()) {
            uint64_t one = 1;
            [[maybe_unused]] ssize_t written = write(stop_.get(), &one, sizeof(one));
            thread_.join();
        }
        if (callback_ != nullptr) {
            napi_release_threadsafe_function(callback_, napi_tsfn_abort);
            callback_ = nullptr;
            napi_remove_env_cleanup_hook(env_, atEnvironmentEnd, this);
        }
        listener_.socket.reset();
        stop_.reset();
    }

  private:
    static void atEnvironmentEnd(void *watch) {
        static_cast<Watch *>(watch)->stop();
    }

    static void call(napi_env env, napi_value callback, void *, void *) {
        /* Without one the environment is ending. */
        if (env == nullptr || callback == nullptr) {
            return;
        }
        napi_value receiver;
        if (napi_get_undefined(env, &receiver) == napi_ok) {
            napi_call_function(env, receiver, callback, 0, nullptr, nullptr);
        }
    }

    void listen() {
        for (;;) {
            pollfd sources[] = {{listener_.socket.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
            if (poll(sources, 2, -1) < 0 && errno != EINTR) {
                return;
            }
            if (sources[1].revents != 0) {
                return;
            }
            if (sources[0].revents != 0 && hearAll() &&
                napi_call_threadsafe_function(callback_, nullptr, napi_tsfn_nonblocking) ==
                    napi_closing) {
                return;
            }
        }
    }

    /* Whether anything of it matters. */
    bool hearAll() {
        bool relevant = false;
        for (;;) {
            ssize_t length =
                recv(listener_.socket.get(), buffer_, sizeof(buffer_), MSG_DONTWAIT | MSG_TRUNC);
            if (length < 0 && errno == EINTR) {
                continue;
            }
            if (length < 0 && errno == EAGAIN) {
                return relevant;
            }
            if (length < 0 || static_cast<size_t>(length) > sizeof(buffer_)) {
                /* Some were lost, or are too long: they may have mattered. */
                relevant = true;
                continue;
            }
            readMessages(buffer_, static_cast<size_t>(length), "watch devices",
                         [&](const nlmsghdr &header, const uint8_t *body) -> Result<Done> {
                             relevant = relevant || isRelevant(header, body, listener_.ifindex);
                             return Done{};
                         });
        }
    }

    LinkListener listener_;
    Fd stop_;
    napi_env env_ = nullptr;
    napi_threadsafe_function callback_ = nullptr;
    std::thread thread_;
    alignas(nlmsghdr) uint8_t buffer_[32768];
};

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
        watch_ = std::make_unique<Watch>(std::move(listener));
    }

  private:
    Napi::Value start(const Napi::CallbackInfo &info) {
        if (!info[0].IsFunction()) {
            throw Napi::TypeError::New(info.Env(), "callback must be a function");
        }
        if (!watch_ || started_) {
            return toJs(info.Env(), Failure{EBADF, "watch devices"});
        }
        started_ = true;
        Result<Done> started = watch_->start(info.Env(), info[0].As<Napi::Function>());
        return failed(started) ? toJs(info.Env(), std::move(failure(started)))
                               : info.Env().Undefined();
    }

    void close(const Napi::CallbackInfo &) {
        watch_.reset();
    }

    std::unique_ptr<Watch> watch_;
    bool started_ = false;
};

} // namespace

Result<LinkListener> listenToLinks(const std::string &netns, int ifindex) {
    return inNetns<LinkListener>(netns, [=]() -> Result<LinkListener> {
        constexpr const char *step = "watch devices";
        Fd listening(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
        if (!listening.valid()) {
            return lastError(step);
        }
        sockaddr_nl groups = {};
        groups.nl_family = AF_NETLINK;
        groups.nl_groups = RTMGRP_LINK | 1U << (RTNLGRP_IPV4_NETCONF - 1);
        if (bind(listening.get(), reinterpret_cast<sockaddr *>(&groups), sizeof(groups)) != 0) {
            return lastError(step);
        }
        return LinkListener{std::move(listening), ifindex};
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
