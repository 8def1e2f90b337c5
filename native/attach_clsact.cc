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

/* In place of a filter that is there. */
Result<Done> putFilter(int program, const ClsactPlace &place) {
    bpf_tc_hook hook = clsactHook(place.ifindex, place.direction);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .flags = BPF_TC_F_REPLACE,
                .handle = place.handle, .priority = place.priority);
    int error = bpf_tc_attach(&hook, &options);
    if (error != 0) {
        return Failure{-error, "attach clsact filter"};
    }
    return Done{};
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

/* How often to start again when another process takes the qdisc away under us. */
constexpr int attempts = 16;

/* Whether the qdisc was made for it. */
Result<bool> addFilter(const Program &program, const ClsactPlace &place) {
    for (int attempt = 1;; attempt++) {
        Result<bool> made = ensureClsact(place.ifindex, place.direction);
        if (failed(made)) {
            return made;
        }
        Result<Done> put = putFilter(program.fd.get(), place);
        if (!failed(put)) {
            return made;
        }
        if (value(made)) {
            destroyClsactIfEmpty(place.ifindex);
            return std::move(failure(put));
        }
        Result<std::string> kind = qdiscKind(place.ifindex);
        if (attempt == attempts || failed(kind) || !value(kind).empty()) {
            return std::move(failure(put));
        }
    }
}

class ClsactFilter final : public Attachment {
  public:
    ClsactFilter(Netns netns, const ClsactPlace &place, Fd program, uint32_t programId, Fd replaced,
                 std::shared_ptr<MadeQdisc> qdisc, bool persist)
        : netns_(std::move(netns)), place_(place), program_(std::move(program)),
          programId_(programId), replaced_(std::move(replaced)), qdisc_(std::move(qdisc)),
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
        settle();
        return revert();
    }

    Result<Done> revert() override {
        std::lock_guard lock(mutex_);
        if (detached_) {
            return Done{};
        }
        std::lock_guard clsact(clsactMutex());
        Result<Done> result = netns_.run<Done>([this] { return leave(); });
        if (failed(result) && failure(result).error == ENODEV) {
            result = Done{};
        }
        if (!failed(result)) {
            detached_ = true;
            netns_ = Netns();
            program_.reset();
            replaced_.reset();
            qdisc_.reset();
        }
        return result;
    }

    void settle() override {
        std::lock_guard lock(mutex_);
        replaced_.reset();
    }

    Result<Standing> standing() override {
        std::lock_guard lock(mutex_);
        if (detached_) {
            return Failure{ENOENT, "find what to replace"};
        }
        Standing standing;
        standing.program = Fd::duplicate(program_.get());
        if (!standing.program.valid()) {
            return lastError("keep program");
        }
        return standing;
    }

  private:
    Result<Done> leave() const {
        Result<std::optional<Filter>> filter = filterAt(place_);
        if (failed(filter)) {
            return std::move(failure(filter));
        }
        /* Another program by now: it replaced us and has an owner of its own. */
        if (value(filter) && value(filter)->programId == programId_) {
            Result<Done> removed =
                replaced_.valid() ? putFilter(replaced_.get(), place_) : removeFilter(place_);
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
    Fd program_;
    uint32_t programId_;
    Fd replaced_;
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

/*
 * Not valid where there is none, or it cannot be opened (that takes CAP_SYS_ADMIN if it is not
 * ours): then there is no way back to it.
 */
Fd programOf(const Predecessor &predecessor) {
    if (predecessor.attachment) {
        Result<Standing> standing = predecessor.attachment->standing();
        return failed(standing) ? Fd() : std::move(value(standing).program);
    }
    return predecessor ? Fd(bpf_prog_get_fd_by_id(predecessor.programId)) : Fd();
}

} // namespace

Result<AttachmentHandle> attachClsact(const Program &program, const std::string &path,
                                      const ClsactPlace &place, const Predecessor &predecessor,
                                      bool persist) {
    Result<Netns> netns = Netns::open(path);
    if (failed(netns)) {
        return std::move(failure(netns));
    }
    Fd replaced = programOf(predecessor);
    Fd kept = Fd::duplicate(program.fd.get());
    if (!kept.valid()) {
        return lastError("keep program");
    }
    auto qdisc = addFilterIn(value(netns), program, place);
    if (failed(qdisc)) {
        return std::move(failure(qdisc));
    }
    return std::make_shared<ClsactFilter>(std::move(value(netns)), place, std::move(kept),
                                          program.id, std::move(replaced), std::move(value(qdisc)),
                                          persist);
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
