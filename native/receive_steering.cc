#include "receive_steering.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "fd.h"

namespace sfunnel {
namespace {

constexpr const char *QUEUE = "/queues/rx-0/rps_cpus";

/*
 * The sysfs that is mounted shows the devices of the namespace in which that was done; one of our
 * own, mounted nowhere, shows those of the thread's.
 */
Fd openSysfs() {
    Fd context(fsopen("sysfs", FSOPEN_CLOEXEC));
    if (!context.valid() ||
        fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        return Fd();
    }
    return Fd(fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
}

/*
 * Without CAP_SYS_ADMIN nobody may mount one, nor be in a namespace that is not his own: then what
 * is mounted is the right one, if it has a device of this index.
 */
Fd openMounted(const std::string &device, int ifindex) {
    std::string folder = "/sys/class/net/" + device;
    Fd file(open((folder + "/ifindex").c_str(), O_RDONLY | O_CLOEXEC));
    char text[16] = {};
    if (!file.valid() || read(file.get(), text, sizeof(text) - 1) <= 0 || atoi(text) != ifindex) {
        return Fd();
    }
    return Fd(open((folder + QUEUE).c_str(), O_WRONLY | O_CLOEXEC));
}

Fd openQueue(const std::string &device, int ifindex) {
    Fd sysfs = openSysfs();
    if (!sysfs.valid()) {
        return openMounted(device, ifindex);
    }
    return Fd(openat(sysfs.get(), ("class/net/" + device + QUEUE).c_str(), O_WRONLY | O_CLOEXEC));
}

/* As sysfs reads a set of CPUs: hexadecimal, words of 32 bits, the highest first. */
std::string allCpus() {
    int count = libbpf_num_possible_cpus();
    std::string mask;
    for (int word = (count - 1) / 32; word >= 0; word--) {
        int bits = count - word * 32;
        char text[16];
        snprintf(text, sizeof(text), "%s%x", mask.empty() ? "" : ",",
                 bits >= 32 ? 0xffffffffu : (1u << bits) - 1);
        mask += text;
    }
    return mask;
}

} // namespace

void steerToAllCpus(const std::string &device, int ifindex) {
    Fd file = openQueue(device, ifindex);
    if (file.valid()) {
        std::string cpus = allCpus();
        [[maybe_unused]] ssize_t written = write(file.get(), cpus.data(), cpus.size());
    }
}

} // namespace sfunnel
