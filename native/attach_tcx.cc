#include "attach_tcx.h"

#include <algorithm>
#include <mutex>

#include "netns.h"
#include "tcx.h"

namespace sfunnel {
namespace {

/* One of ours and the way to it. */
Result<Fd> keep(const Fd &fd) {
    Fd kept = Fd::duplicate(fd.get());
    if (!kept.valid()) {
        return lastError("keep descriptor");
    }
    return kept;
}

Result<Standing> duplicate(const Fd &program, const Fd &link) {
    if (!program.valid()) {
        return Failure{ENOENT, "find what to replace"};
    }
    Result<Fd> keptProgram = keep(program);
    if (failed(keptProgram)) {
        return std::move(failure(keptProgram));
    }
    Result<Fd> keptLink = link.valid() ? keep(link) : Fd();
    if (failed(keptLink)) {
        return std::move(failure(keptLink));
    }
    return Standing{std::move(value(keptProgram)), std::move(value(keptLink))};
}

/* Gives the link another program, unless it has another than `old` by now. */
Result<Done> updateLink(const Fd &link, const Fd &program, const Fd &old) {
    LIBBPF_OPTS(bpf_link_update_opts, options, .flags = BPF_F_REPLACE,
                .old_prog_fd = static_cast<uint32_t>(old.get()));
    if (bpf_link_update(link.get(), program.get(), &options) != 0) {
        /* EPERM is what tcx says of another program than the old one. */
        return Failure{errno == EPERM ? ESTALE : errno, "replace program of tcx link"};
    }
    return Done{};
}

/* The program of a link; 0 where the kernel does not tell. */
uint32_t programOf(const Fd &link) {
    struct bpf_link_info info = {};
    uint32_t length = sizeof(info);
    return bpf_obj_get_info_by_fd(link.get(), &info, &length) == 0 ? info.prog_id : 0;
}

class TcxLink final : public Attachment {
  public:
    /* `replaced` is not valid where the link was made for the program. */
    TcxLink(Fd link, Fd program, uint32_t programId, Fd replaced)
        : link_(std::move(link)), program_(std::move(program)), programId_(programId),
          replaced_(std::move(replaced)), adopted_(replaced_.valid()) {}

    /* The namespace need not be known for that. */
    Result<Done> detach() override {
        std::lock_guard lock(mutex_);
        return detachLocked();
    }

    Result<Done> revert() override {
        std::lock_guard lock(mutex_);
        if (!link_.valid() || !replaced_.valid()) {
            return detachLocked();
        }
        Result<Done> updated = updateLink(link_, replaced_, program_);
        if (failed(updated) && failure(updated).error != ESTALE &&
            failure(updated).error != ENOLINK) {
            return updated;
        }
        letGo();
        return Done{};
    }

    void settle() override {
        std::lock_guard lock(mutex_);
        replaced_.reset();
    }

    Result<Standing> standing() override {
        std::lock_guard lock(mutex_);
        return duplicate(program_, link_);
    }

  private:
    Result<Done> detachLocked() {
        /*
         * The link goes with its last descriptor. One that was taken over may have another, with
         * who made it: it goes by force then, unless it has been taken over from us.
         */
        if (link_.valid() && adopted_ && programOf(link_) == programId_ &&
            bpf_link_detach(link_.get()) != 0 && !isGone(errno)) {
            return lastError("detach tcx link");
        }
        letGo();
        return Done{};
    }

    void letGo() {
        link_.reset();
        program_.reset();
        replaced_.reset();
    }

    std::mutex mutex_;
    /* Not valid: detached. */
    Fd link_;
    Fd program_;
    uint32_t programId_;
    Fd replaced_;
    bool adopted_;
};

/* Attached to the device: stays when this is destroyed. */
class TcxProgram final : public Attachment {
  public:
    TcxProgram(Netns netns, Fd program, Fd replaced, const TcxPlace &place)
        : netns_(std::move(netns)), program_(std::move(program)), replaced_(std::move(replaced)),
          place_(place) {}

    Result<Done> detach() override {
        std::lock_guard lock(mutex_);
        return leave([this]() -> Result<Done> {
            auto type = static_cast<bpf_attach_type>(tcxAttachType(place_.direction));
            return bpf_prog_detach2(program_.get(), place_.ifindex, type) == 0
                       ? Result<Done>(Done{})
                       : lastError("detach tcx");
        });
    }

    Result<Done> revert() override {
        {
            std::lock_guard lock(mutex_);
            if (replaced_.valid()) {
                return leave([this] {
                    return attachTcxProgram(replaced_.get(), place_.ifindex, place_.direction,
                                            TcxPosition{false, program_.get(), 0});
                });
            }
        }
        return detach();
    }

    void settle() override {
        std::lock_guard lock(mutex_);
        replaced_.reset();
    }

    Result<Standing> standing() override {
        std::lock_guard lock(mutex_);
        return duplicate(program_, Fd());
    }

  private:
    template <typename Way> Result<Done> leave(Way way) {
        if (!program_.valid()) {
            return Done{};
        }
        Result<Done> left = netns_.run<Done>(way);
        if (failed(left) && !isGone(failure(left).error)) {
            return left;
        }
        program_.reset();
        replaced_.reset();
        netns_ = Netns();
        return Done{};
    }

    std::mutex mutex_;
    /* Kept open, so that the way back exists when the namespace has lost its name. */
    Netns netns_;
    /* Not valid: detached. */
    Fd program_;
    Fd replaced_;
    TcxPlace place_;
};

/* Needs CAP_SYS_ADMIN where it is not ours. In the namespace of the calling thread. */
Result<Standing> open(const Predecessor &predecessor, const TcxPlace &place) {
    if (predecessor.attachment) {
        return predecessor.attachment->standing();
    }
    auto entries = queryTcx(place.ifindex, place.direction);
    if (failed(entries)) {
        return std::move(failure(entries));
    }
    auto found = std::find_if(value(entries).begin(), value(entries).end(), [&](const TcxEntry &e) {
        return e.programId == predecessor.programId;
    });
    if (found == value(entries).end()) {
        return Failure{ENOENT, "find program to replace"};
    }
    Standing standing;
    standing.program = Fd(bpf_prog_get_fd_by_id(found->programId));
    if (!standing.program.valid()) {
        return lastError("open program to replace");
    }
    if (found->linkId != 0) {
        standing.link = Fd(bpf_link_get_fd_by_id(found->linkId));
        if (!standing.link.valid()) {
            return lastError("open link to take over");
        }
    }
    return standing;
}

Result<Standing> openIfAny(const Predecessor &predecessor, const TcxPlace &place) {
    if (!predecessor) {
        return Standing{};
    }
    Result<Standing> old = open(predecessor, place);
    if (!failed(old) && value(old).link.valid() != place.link) {
        return Failure{EBUSY, place.link ? "take over a program that has no link"
                                         : "replace a program that a link holds"};
    }
    return old;
}

/* In the namespace of the device. */
Result<AttachmentHandle> attachLink(Fd program, uint32_t programId, const TcxPlace &place,
                                    Standing old) {
    if (old.link.valid()) {
        Result<Done> updated = updateLink(old.link, program, old.program);
        if (failed(updated)) {
            return std::move(failure(updated));
        }
        return std::make_shared<TcxLink>(std::move(old.link), std::move(program), programId,
                                         std::move(old.program));
    }
    Result<Fd> link = createTcxLink(program.get(), place.ifindex, place.direction,
                                    TcxPosition{place.first, -1, place.revision});
    if (failed(link)) {
        return std::move(failure(link));
    }
    return std::make_shared<TcxLink>(std::move(value(link)), std::move(program), programId, Fd());
}

} // namespace

Result<AttachmentHandle> attachTcx(const Program &program, const std::string &path,
                                   const TcxPlace &place, const Predecessor &predecessor) {
    Result<Netns> netns = Netns::open(path);
    if (failed(netns)) {
        return std::move(failure(netns));
    }
    Result<Fd> kept = keep(program.fd);
    if (failed(kept)) {
        return std::move(failure(kept));
    }
    Standing old;
    auto attached = value(netns).run<AttachmentHandle>([&]() -> Result<AttachmentHandle> {
        Result<Standing> opened = openIfAny(predecessor, place);
        if (failed(opened)) {
            return std::move(failure(opened));
        }
        old = std::move(value(opened));
        if (place.link) {
            return attachLink(std::move(value(kept)), program.id, place, std::move(old));
        }
        Result<Done> done =
            attachTcxProgram(value(kept).get(), place.ifindex, place.direction,
                             TcxPosition{place.first, old.program.get(), place.revision});
        if (failed(done)) {
            return std::move(failure(done));
        }
        return AttachmentHandle();
    });
    if (failed(attached) || place.link) {
        return attached;
    }
    return std::make_shared<TcxProgram>(std::move(value(netns)), std::move(value(kept)),
                                        std::move(old.program), place);
}

} // namespace sfunnel
