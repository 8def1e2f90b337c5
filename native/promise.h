/*
 * Runs a function off the event loop and settles a promise with what it gave: the value, or
 * {errno, step, log?}. Work that is under way when its environment ends still runs to its
 * end; what it made is then released by its owner's destructor.
 */
#pragma once

#include <napi.h>

#include <functional>
#include <new>
#include <optional>
#include <utility>

#include "args.h"
#include "result.h"

namespace sfunnel {

inline Napi::Value toJs(Napi::Env env, Done &&) {
    return env.Undefined();
}

inline Napi::Value toJs(Napi::Env env, Failure &&failure) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("errno", Napi::Number::New(env, failure.error));
    object.Set("step", Napi::String::New(env, failure.step));
    if (!failure.log.empty()) {
        object.Set("log", Napi::String::New(env, failure.log));
    }
    return object;
}

template <typename T> class Task final : public Napi::AsyncWorker {
  public:
    using Work = std::function<Result<T>()>;

    Task(Napi::Env env, Work work)
        : AsyncWorker(env, "sfunnel"), deferred_(env), work_(std::move(work)) {}

    Napi::Promise promise() const {
        return deferred_.Promise();
    }

    void Execute() override {
        try {
            result_.emplace(work_());
        } catch (const std::bad_alloc &) {
            result_.emplace(Failure{ENOMEM, "allocate memory"});
        } catch (...) {
            result_.emplace(Failure{EAGAIN, "start a thread"});
        }
    }

    void OnWorkComplete(Napi::Env env, napi_status status) override {
        /*
         * No exception may leave from here, nor may one be turned into a JavaScript one: the
         * only reason for it is an environment that is ending and wants no answer.
         */
        if (status != napi_cancelled) {
            try {
                settle(env);
            } catch (...) {
            }
        }
        Destroy();
    }

  private:
    void settle(Napi::Env env) {
        Napi::HandleScope scope(env);
        try {
            deferred_.Resolve(std::visit(
                [env](auto &&result) -> napi_value { return toJs(env, std::move(result)); },
                std::move(*result_)));
        } catch (const Napi::Error &error) {
            deferred_.Reject(error.Value());
        }
    }

    Napi::Promise::Deferred deferred_;
    Work work_;
    std::optional<Result<T>> result_;
};

/* T needs a toJs(env, T &&) found by argument-dependent lookup. */
template <typename T> Napi::Value run(Napi::Env env, std::function<Result<T>()> work) {
    auto *task = new Task<T>(env, std::move(work));
    Napi::Promise promise = task->promise();
    task->Queue();
    return promise;
}

/* A promise that already holds the failure, for what is known before any work starts. */
inline Napi::Value failedPromise(Napi::Env env, Failure failure) {
    Napi::Promise::Deferred deferred(env);
    deferred.Resolve(toJs(env, std::move(failure)));
    return deferred.Promise();
}

} // namespace sfunnel
