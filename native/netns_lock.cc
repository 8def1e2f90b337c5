#include "netns_lock.h"

#include <sys/file.h>

#include "instance.h"
#include "netns.h"

namespace sfunnel {
namespace {

class LockObject final : public Napi::ObjectWrap<LockObject> {
  public:
    /* Called from JavaScript, through `constructor`, it makes one that is released. */
    using ObjectWrap::ObjectWrap;

    static Napi::Function define(Napi::Env env) {
        return DefineClass(env, "NativeLock",
                           {InstanceMethod<&LockObject::release>("release", napi_default_method)});
    }

    void hold(NetnsLock lock) {
        lock_ = std::move(lock);
    }

  private:
    void release(const Napi::CallbackInfo &) {
        /* Not by close alone: a process that is being started may have a copy for a moment. */
        if (lock_.fd.valid()) {
            flock(lock_.fd.get(), LOCK_UN);
        }
        lock_.fd.reset();
    }

    NetnsLock lock_;
};

} // namespace

Result<NetnsLock> lockNetns(const std::string &path) {
    Result<Netns> netns = Netns::open(path);
    if (failed(netns)) {
        return std::move(failure(netns));
    }
    Result<Fd> fd = value(netns).descriptor();
    if (failed(fd)) {
        return std::move(failure(fd));
    }
    if (flock(value(fd).get(), LOCK_EX | LOCK_NB) != 0) {
        return lastError("lock network namespace");
    }
    return NetnsLock{std::move(value(fd))};
}

Napi::Value toJs(Napi::Env env, NetnsLock &&lock) {
    Napi::Object object = instance(env).lock.New({});
    LockObject::Unwrap(object)->hold(std::move(lock));
    return object;
}

Napi::Function defineNetnsLock(Napi::Env env) {
    return LockObject::define(env);
}

} // namespace sfunnel
