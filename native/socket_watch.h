/* A thread that listens to a netlink socket and tells JavaScript that something has happened. */
#pragma once

#include <node_api.h>
#include <napi.h>

#include <chrono>
#include <initializer_list>
#include <thread>

#include "fd.h"
#include "netlink.h"
#include "result.h"

namespace sfunnel {

/*
 * A socket that hears what the kernel says to these groups (RTNLGRP_*) from now on, in the
 * namespace of the calling thread.
 */
Result<Fd> listenTo(std::initializer_list<int> groups, const char *step);

class SocketWatch {
  public:
    /* Whether a message matters; asked on the thread of the watch. */
    using Matters = std::function<bool(const nlmsghdr &header, const uint8_t *body)>;

    /*
     * The socket hears from when it was bound. What comes within `delay` of the first message that
     * matters is told with it, in one call; it also gives the kernel time to finish what it
     * announces (routes go after the link's message). Of 0 it tells at once.
     */
    SocketWatch(Fd socket, Matters matters, std::chrono::milliseconds delay, const char *step)
        : socket_(std::move(socket)), matters_(std::move(matters)), delay_(delay), step_(step) {}
    SocketWatch(const SocketWatch &) = delete;
    SocketWatch &operator=(const SocketWatch &) = delete;
    ~SocketWatch() {
        stop();
    }

    /* Calls back on the thread of the environment; keeps neither it nor its loop alive. */
    Result<Done> start(Napi::Env env, Napi::Function callback);
    /* No call comes after this. */
    void stop();

  private:
    void listen();
    bool hear();

    Fd socket_;
    Matters matters_;
    std::chrono::milliseconds delay_;
    const char *step_;
    Fd stop_;
    napi_env env_ = nullptr;
    napi_threadsafe_function callback_ = nullptr;
    std::thread thread_;
    alignas(nlmsghdr) uint8_t buffer_[32768];
};

} // namespace sfunnel
