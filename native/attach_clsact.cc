#include "attach_clsact.h"

#include <memory>
#include <mutex>
#include <optional>

#include "clsact_qdisc.h"
#include "detach_at_exit.h"
#include "netns.h"
#include "rtnetlink.h"

namespace sfunnel {
namespace {

/* The filter at this place, if there is one of the kind "bpf". */
Result<std::optional<Filter>> filterAt(const ClsactPlace &place) {
    Result<Qdisc> found = qdisc(place.ifindex);
    if (failed(found)) {
        return std::move(failure(found));
    }
    for (Filter &filter : value(found).filters) {
        if (filter.direction == place.direction && filter.chain == 0 && filter.kind == "bpf" &&
            filter.priority == place.priority && filter.handle == place.handle) {
            return std::optional<Filter>(std::move(filter));
        }
    }
    return std::optional<Filter>();
}

Result<Done> removeFilter(const ClsactPlace &place) {
    bpf_tc_hook hook = clsactHook(place.ifindex, place.direction);
    LIBBPF_OPTS(bpf_tc_opts, options, .handle = place.handle, .priority = place.priority);
    int error = bpf_tc_detach(&hook, &options);
    if (error != 0) {
        return Failure{-error, "remove clsact filter"};
    }
    return Done{};
}

/* Whether the qdisc was made for it. */
Result<bool> addFilter(const Program &program, const ClsactPlace &place) {
    Result<bool> made = ensureClsact(place.ifindex, place.direction);
    if (failed(made)) {
        return made;
    }
    bpf_tc_hook hook = clsactHook(place.ifindex, place.direction);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program.fd.get(), .flags = BPF_TC_F_REPLACE,
                .handle = place.handle, .priority = place.priority);
    int error = bpf_tc_attach(&hook, &options);
    if (error != 0) {
        if (value(made)) {
            destroyClsactIfEmpty(place.ifindex);
        }
        return Failure{-error, "attach clsact filter"};
    }
    return made;
}

class ClsactFilter final : public Attachment {
  public:
    ClsactFilter(Netns netns, const ClsactPlace &place, uint32_t programId,
                 std::shared_ptr<MadeQdisc> qdisc, bool persist)
        : netns_(std::move(netns)), place_(place), programId_(programId), qdisc_(std::move(qdisc)),
          persist_(persist) {
        if (!persist) {
            atExit_.emplace(*this);
        }
    }

    ~ClsactFilter() override {
        if (!persist_) {
            try {
                detach();
            } catch (...) {
                /* No memory or no thread to be had: nobody is left to tell. */
            }
        }
    }

    Result<Done> detach() override {
        std::lock_guard lock(mutex_);
        if (detached_) {
            return Done{};
        }
        std::lock_guard clsact(clsactMutex());
        Result<Done> result = netns_.run<Done>([this] { return remove(); });
        if (failed(result) && failure(result).error == ENODEV) {
            result = Done{};
        }
        if (!failed(result)) {
            detached_ = true;
            netns_ = Netns();
            qdisc_.reset();
        }
        return result;
    }

  private:
    Result<Done> remove() const {
        Result<std::optional<Filter>> filter = filterAt(place_);
        if (failed(filter)) {
            return std::move(failure(filter));
        }
        /* Another program by now: it replaced us and has an owner of its own. */
        if (value(filter) && value(filter)->programId == programId_) {
            Result<Done> removed = removeFilter(place_);
            if (failed(removed) && failure(removed).error != ENOENT) {
                return removed;
            }
        }
        return qdisc_ ? destroyClsactIfEmpty(place_.ifindex) : Done{};
    }

    std::mutex mutex_;
    /* Kept open, so that the way back exists when the namespace has lost its name. */
    Netns netns_;
    ClsactPlace place_;
    uint32_t programId_;
    /* Null: somebody else made it. */
    std::shared_ptr<MadeQdisc> qdisc_;
    bool persist_;
    bool detached_ = false;
    std::optional<DetachAtExit> atExit_;
};

/* Null where the qdisc is not ours. */
Result<std::shared_ptr<MadeQdisc>> addFilterIn(const Netns &netns, const Program &program,
                                               const ClsactPlace &place) {
    Result<Inode> inode = netns.inode();
    if (failed(inode)) {
        return std::move(failure(inode));
    }
    std::lock_guard clsact(clsactMutex());
    Result<bool> made =
        netns.run<bool>([&]() -> Result<bool> { return addFilter(program, place); });
    if (failed(made)) {
        return std::move(failure(made));
    }
    return madeQdisc(value(inode).number, place.ifindex, value(made));
}

} // namespace

Result<AttachmentHandle> attachClsact(const Program &program, const std::string &path,
                                      const ClsactPlace &place, bool persist) {
    Result<Netns> netns = Netns::open(path);
    if (failed(netns)) {
        return std::move(failure(netns));
    }
    auto qdisc = addFilterIn(value(netns), program, place);
    if (failed(qdisc)) {
        return std::move(failure(qdisc));
    }
    return std::make_shared<ClsactFilter>(std::move(value(netns)), place, program.id,
                                          std::move(value(qdisc)), persist);
}

Result<Done> detachClsact(const ClsactPlace &place) {
    /* Looked up first: a qdisc "ingress" would give an ingress filter for an egress one. */
    Result<std::optional<Filter>> filter = filterAt(place);
    if (failed(filter)) {
        return std::move(failure(filter));
    }
    if (!value(filter)) {
        return Failure{ENOENT, "find clsact filter"};
    }
    return removeFilter(place);
}

} // namespace sfunnel
