#include "attach_tcx.h"

#include <mutex>

#include "netns.h"
#include "tcx.h"

namespace sfunnel {
namespace {

class TcxLink final : public Attachment {
  public:
    explicit TcxLink(Fd link) : link_(std::move(link)) {}

    /* The link goes with its last descriptor; the namespace need not be known for that. */
    Result<Done> detach() override {
        std::lock_guard lock(mutex_);
        link_.reset();
        return Done{};
    }

  private:
    std::mutex mutex_;
    Fd link_;
};

/* Attached to the device: stays when this is destroyed. */
class TcxProgram final : public Attachment {
  public:
    TcxProgram(Netns netns, Fd program, const TcxPlace &place)
        : netns_(std::move(netns)), program_(std::move(program)), place_(place) {}

    Result<Done> detach() override {
        std::lock_guard lock(mutex_);
        if (!program_.valid()) {
            return Done{};
        }
        Result<Done> detached = netns_.run<Done>([this]() -> Result<Done> {
            auto type = static_cast<bpf_attach_type>(tcxAttachType(place_.direction));
            if (bpf_prog_detach2(program_.get(), place_.ifindex, type) != 0 && !isGone(errno)) {
                return lastError("detach tcx");
            }
            return Done{};
        });
        if (!failed(detached)) {
            program_.reset();
            netns_ = Netns();
        }
        return detached;
    }

  private:
    std::mutex mutex_;
    /* Kept open, so that the way back exists when the namespace has lost its name. */
    Netns netns_;
    /* Not valid: detached. */
    Fd program_;
    TcxPlace place_;
};

uint32_t positionFlag(const TcxPlace &place) {
    return place.first ? tcxBefore : tcxAfter;
}

Result<Fd> createLink(const Program &program, const TcxPlace &place) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = positionFlag(place));
    Fd link(bpf_link_create(program.fd.get(), place.ifindex,
                            static_cast<bpf_attach_type>(tcxAttachType(place.direction)),
                            &options));
    if (!link.valid()) {
        return lastError("attach tcx link");
    }
    return link;
}

Result<Done> attachProgram(const Program &program, const TcxPlace &place) {
    Fd replaced;
    LIBBPF_OPTS(bpf_prog_attach_opts, options, .flags = positionFlag(place));
    if (place.replace != 0) {
        replaced = Fd(bpf_prog_get_fd_by_id(place.replace));
        if (!replaced.valid()) {
            return lastError("open program to replace");
        }
        options.flags = tcxReplace;
        options.replace_prog_fd = replaced.get();
    }
    if (bpf_prog_attach_opts(program.fd.get(), place.ifindex,
                             static_cast<bpf_attach_type>(tcxAttachType(place.direction)),
                             &options) != 0) {
        return lastError("attach tcx");
    }
    return Done{};
}

} // namespace

Result<AttachmentHandle> attachTcx(const Program &program, const std::string &path,
                                   const TcxPlace &place) {
    Result<Netns> netns = Netns::open(path);
    if (failed(netns)) {
        return std::move(failure(netns));
    }
    if (place.link) {
        Result<Fd> link =
            value(netns).run<Fd>([&]() -> Result<Fd> { return createLink(program, place); });
        if (failed(link)) {
            return std::move(failure(link));
        }
        return std::make_shared<TcxLink>(std::move(value(link)));
    }
    Fd kept = Fd::duplicate(program.fd.get());
    if (!kept.valid()) {
        return lastError("keep program");
    }
    Result<Done> attached =
        value(netns).run<Done>([&]() -> Result<Done> { return attachProgram(program, place); });
    if (failed(attached)) {
        return std::move(failure(attached));
    }
    return std::make_shared<TcxProgram>(std::move(value(netns)), std::move(kept), place);
}

} // namespace sfunnel
