/* Work inside another network namespace. */
#pragma once

#include <napi.h>

#include <new>
#include <optional>
#include <string>
#include <thread>

#include "fd.h"
#include "result.h"

namespace sfunnel {

/* Inode number of a network namespace. */
struct Inode {
    uint64_t number;
};

class Netns {
  public:
    /* "" is the caller's own. Fails with EINVAL where path is no network namespace. */
    static Result<Netns> open(const std::string &path);

    Result<Inode> inode() const;

    /* A descriptor of its own, shared with nobody. */
    Result<Fd> descriptor() const;

    /*
     * Runs a function in this namespace: for another one on a thread made for it, which ends
     * with the function, so that no thread of the pool is ever left in a foreign namespace.
     */
    template <typename T, typename Function> Result<T> run(Function function) const {
        if (!fd_.valid()) {
            return function();
        }
        std::optional<Result<T>> result;
        std::thread thread([&]() noexcept {
            try {
                Result<Done> entered = enter();
                if (failed(entered)) {
                    result.emplace(std::move(failure(entered)));
                } else {
                    result.emplace(function());
                }
            } catch (const std::bad_alloc &) {
                result.emplace(Failure{ENOMEM, "allocate memory"});
            }
        });
        thread.join();
        return std::move(*result);
    }

  private:
    Result<Done> enter() const;

    /* Not valid: the caller's own. */
    Fd fd_;
};

/* Opens the namespace and runs the function in it. */
template <typename T, typename Function>
Result<T> inNetns(const std::string &path, Function function) {
    Result<Netns> netns = Netns::open(path);
    if (failed(netns)) {
        return std::move(failure(netns));
    }
    return value(netns).template run<T>(std::move(function));
}

Napi::Value toJs(Napi::Env env, Inode &&inode);

} // namespace sfunnel
