#include "netns.h"

#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace sfunnel {
namespace {

Result<Fd> openNamespace(const std::string &path) {
    constexpr const char *step = "open network namespace";
    if (path.find('\0') != std::string::npos) {
        return Failure{EINVAL, step};
    }
    /* O_NONBLOCK: a fifo would otherwise keep us waiting for its writer. */
    Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) {
        return lastError(step);
    }
    struct statfs filesystem;
    if (fstatfs(fd.get(), &filesystem) != 0) {
        return lastError(step);
    }
    /* /run/netns/x is a plain empty file where the mount is missing. */
    if (filesystem.f_type != NSFS_MAGIC || ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
        return Failure{EINVAL, step};
    }
    return fd;
}

} // namespace

Result<Netns> Netns::open(const std::string &path) {
    Netns netns;
    if (!path.empty()) {
        Result<Fd> fd = openNamespace(path);
        if (failed(fd)) {
            return std::move(failure(fd));
        }
        netns.fd_ = std::move(value(fd));
    }
    return netns;
}

Result<Inode> Netns::inode() const {
    struct stat status;
    int error = fd_.valid() ? fstat(fd_.get(), &status) : stat("/proc/self/ns/net", &status);
    if (error != 0) {
        return lastError("ask for the inode of a network namespace");
    }
    return Inode{status.st_ino};
}

Result<Fd> Netns::descriptor() const {
    return openNamespace(fd_.valid() ? "/proc/self/fd/" + std::to_string(fd_.get())
                                     : "/proc/self/ns/net");
}

Result<Done> Netns::enter() const {
    if (setns(fd_.get(), CLONE_NEWNET) != 0) {
        return lastError("enter network namespace");
    }
    return Done{};
}

Napi::Value toJs(Napi::Env env, Inode &&inode) {
    return Napi::BigInt::New(env, inode.number);
}

} // namespace sfunnel
