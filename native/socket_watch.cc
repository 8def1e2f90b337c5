#include "socket_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <system_error>

namespace sfunnel {
namespace {

using Clock = std::chrono::steady_clock;

void atEnvironmentEnd(void *watch) {
    static_cast<SocketWatch *>(watch)->stop();
}

void call(napi_env env, napi_value callback, void *, void *) {
    /* Without one the environment is ending. */
    if (env == nullptr || callback == nullptr) {
        return;
    }
    napi_value receiver;
    if (napi_get_undefined(env, &receiver) == napi_ok) {
        napi_call_function(env, receiver, callback, 0, nullptr, nullptr);
    }
}

/* For poll, rounded up: it must not wake before. */
int millisecondsUntil(Clock::time_point when) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()).count();
    return left > 0 ? static_cast<int>(left) : 0;
}

} // namespace

Result<Fd> listenTo(std::initializer_list<int> groups, const char *step) {
    Fd listening(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    if (!listening.valid()) {
        return lastError(step);
    }
    sockaddr_nl address = {};
    address.nl_family = AF_NETLINK;
    for (int group : groups) {
        address.nl_groups |= 1U << (group - 1);
    }
    if (bind(listening.get(), reinterpret_cast<sockaddr *>(&address), sizeof(address)) != 0) {
        return lastError(step);
    }
    return listening;
}

Result<Done> SocketWatch::start(Napi::Env env, Napi::Function callback) {
    stop_ = Fd(eventfd(0, EFD_CLOEXEC));
    if (!stop_.valid()) {
        return lastError(step_);
    }
    /* With room for one call: more of them would say nothing new. */
    napi_value name = Napi::String::New(env, "sfunnel watch");
    if (napi_create_threadsafe_function(env, callback, nullptr, name, 1, 1, nullptr, nullptr,
                                        nullptr, call, &callback_) != napi_ok) {
        return Failure{ENOMEM, step_};
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

void SocketWatch::stop() {
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
    socket_.reset();
    stop_.reset();
}

void SocketWatch::listen() {
    bool heard = false;
    Clock::time_point due;
    for (;;) {
        pollfd sources[] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
        if (poll(sources, 2, heard ? millisecondsUntil(due) : -1) < 0 && errno != EINTR) {
            return;
        }
        if (sources[1].revents != 0) {
            return;
        }
        /* One at a time: in a flood of them the delay still ends. */
        if (sources[0].revents != 0 && hear() && !heard) {
            heard = true;
            due = Clock::now() + delay_;
        }
        if (!heard || Clock::now() < due) {
            continue;
        }
        if (napi_call_threadsafe_function(callback_, nullptr, napi_tsfn_nonblocking) ==
            napi_closing) {
            return;
        }
        heard = false;
    }
}

/* Whether anything of one datagram matters. */
bool SocketWatch::hear() {
    ssize_t length = recv(socket_.get(), buffer_, sizeof(buffer_), MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && (errno == EINTR || errno == EAGAIN)) {
        return false;
    }
    if (length < 0 || static_cast<size_t>(length) > sizeof(buffer_)) {
        /* Some were lost, or are too long: they may have mattered. */
        return true;
    }
    bool matters = false;
    readMessages(buffer_, static_cast<size_t>(length), step_,
                 [&](const nlmsghdr &header, const uint8_t *body) -> Result<Done> {
                     matters = matters || matters_(header, body);
                     return Done{};
                 });
    return matters;
}

} // namespace sfunnel
