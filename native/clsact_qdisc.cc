#include "clsact_qdisc.h"

#include <map>
#include <utility>

#include "rtnetlink.h"

namespace sfunnel {
namespace {

bpf_tc_hook hookAt(int ifindex, int attachPoint) {
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
                .attach_point = static_cast<bpf_tc_attach_point>(attachPoint));
    return hook;
}

/* Both directions at once mean the qdisc itself. */
bpf_tc_hook wholeHook(int ifindex) {
    return hookAt(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
}

} // namespace

bpf_tc_hook clsactHook(int ifindex, Direction direction) {
    return hookAt(ifindex, direction == Direction::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
}

Result<bool> ensureClsact(int ifindex, Direction direction) {
    Result<std::string> kind = qdiscKind(ifindex);
    if (!failed(kind) && value(kind).empty()) {
        bpf_tc_hook hook = wholeHook(ifindex);
        int error = bpf_tc_hook_create(&hook);
        if (error == 0) {
            return true;
        }
        if (error != -EEXIST) {
            return Failure{-error, "create clsact"};
        }
        /* Another process was faster: look at what it made. */
        kind = qdiscKind(ifindex);
    }
    if (failed(kind)) {
        return std::move(failure(kind));
    }
    /* It takes a filter for egress without a word and runs it at ingress. */
    if (value(kind) == "ingress" && direction == Direction::egress) {
        return Failure{EEXIST, "create clsact: an ingress qdisc is in the way"};
    }
    return false;
}

Result<Done> destroyClsactIfEmpty(int ifindex) {
    Result<Qdisc> found = qdisc(ifindex);
    if (failed(found)) {
        return std::move(failure(found));
    }
    if (value(found).kind != "clsact" || !value(found).filters.empty()) {
        return Done{};
    }
    bpf_tc_hook hook = wholeHook(ifindex);
    int error = bpf_tc_hook_destroy(&hook);
    if (error != 0) {
        return Failure{-error, "remove clsact"};
    }
    return Done{};
}

std::shared_ptr<MadeQdisc> madeQdisc(uint64_t netnsInode, int ifindex, bool justMade) {
    using Devices = std::map<std::pair<uint64_t, int>, std::weak_ptr<MadeQdisc>>;
    /* Never destroyed: attachments are still detached while exit() destroys the rest. */
    static auto *devices = new Devices;
    for (auto device = devices->begin(); device != devices->end();) {
        device = device->second.expired() ? devices->erase(device) : std::next(device);
    }
    std::pair<uint64_t, int> key(netnsInode, ifindex);
    if (justMade) {
        auto made = std::make_shared<MadeQdisc>();
        (*devices)[key] = made;
        return made;
    }
    auto found = devices->find(key);
    return found == devices->end() ? nullptr : found->second.lock();
}

std::mutex &clsactMutex() {
    static auto *mutex = new std::mutex;
    return *mutex;
}

} // namespace sfunnel
