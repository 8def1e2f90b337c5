#include "tcx.h"

#include <bpf/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace sfunnel {
namespace {

/* The part of union bpf_attr for BPF_PROG_QUERY, as of 6.6. */
struct QueryAttr {
    __u32 ifindex;
    __u32 attachType;
    __u32 queryFlags;
    __u32 attachFlags;
    __aligned_u64 programIds;
    __u32 count;
    __u32 padding;
    __aligned_u64 programFlags;
    __aligned_u64 linkIds;
    __aligned_u64 linkFlags;
    __u64 revision;
};

/* The part for BPF_PROG_ATTACH, as of 6.6. */
struct AttachAttr {
    __u32 ifindex;
    __u32 program;
    __u32 attachType;
    __u32 flags;
    __u32 replaced;
    __u32 relative;
    __u64 revision;
};

/* The part for BPF_LINK_CREATE with tcx, as of 6.6. */
struct LinkCreateAttr {
    __u32 program;
    __u32 ifindex;
    __u32 attachType;
    __u32 flags;
    __u32 relative;
    __u32 padding;
    __u64 revision;
};

/* Flags of an attach: in place of one; ahead of all, behind all (both without a relative). */
constexpr __u32 replaceFlag = 1U << 2;
constexpr __u32 beforeFlag = 1U << 3;
constexpr __u32 afterFlag = 1U << 4;

/* BPF_MPROG_MAX: the kernel takes no more on one hook. */
constexpr uint32_t mostPrograms = 64;

template <typename Attr> int bpf(int command, Attr &attr) {
    return static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof(attr)));
}

Result<Done> query(QueryAttr &attr, int ifindex, Direction direction) {
    attr.ifindex = static_cast<__u32>(ifindex);
    attr.attachType = static_cast<__u32>(tcxAttachType(direction));
    if (bpf(BPF_PROG_QUERY, attr) != 0) {
        /* Kernels before 6.6 find bytes here that they do not know: they have no tcx either. */
        return Failure{errno == E2BIG ? EINVAL : errno, "query tcx"};
    }
    return Done{};
}

} // namespace

int tcxAttachType(Direction direction) {
    return direction == Direction::ingress ? 46 : 47;
}

bool isGone(int error) {
    return error == ENODEV || error == ENOENT;
}

Result<uint64_t> queryTcxRevision(int ifindex, Direction direction) {
    QueryAttr attr = {};
    Result<Done> asked = query(attr, ifindex, direction);
    if (failed(asked)) {
        return std::move(failure(asked));
    }
    return uint64_t{attr.revision};
}

Result<std::vector<TcxEntry>> queryTcx(int ifindex, Direction direction) {
    uint32_t programIds[mostPrograms] = {};
    uint32_t linkIds[mostPrograms] = {};
    QueryAttr attr = {};
    attr.programIds = reinterpret_cast<uintptr_t>(programIds);
    attr.linkIds = reinterpret_cast<uintptr_t>(linkIds);
    attr.count = mostPrograms;
    Result<Done> asked = query(attr, ifindex, direction);
    if (failed(asked)) {
        return std::move(failure(asked));
    }
    std::vector<TcxEntry> entries;
    for (uint32_t i = 0; i < std::min(attr.count, mostPrograms); i++) {
        entries.push_back({programIds[i], linkIds[i]});
    }
    return entries;
}

Result<Done> attachTcxProgram(int program, int ifindex, Direction direction,
                              const TcxPosition &position) {
    AttachAttr attr = {};
    attr.ifindex = static_cast<__u32>(ifindex);
    attr.program = static_cast<__u32>(program);
    attr.attachType = static_cast<__u32>(tcxAttachType(direction));
    attr.revision = position.revision;
    if (position.replaced >= 0) {
        attr.flags = replaceFlag;
        attr.replaced = static_cast<__u32>(position.replaced);
    } else {
        attr.flags = position.first ? beforeFlag : afterFlag;
    }
    return bpf(BPF_PROG_ATTACH, attr) == 0 ? Result<Done>(Done{}) : lastError("attach tcx");
}

Result<Fd> createTcxLink(int program, int ifindex, Direction direction,
                         const TcxPosition &position) {
    LinkCreateAttr attr = {};
    attr.program = static_cast<__u32>(program);
    attr.ifindex = static_cast<__u32>(ifindex);
    attr.attachType = static_cast<__u32>(tcxAttachType(direction));
    attr.flags = position.first ? beforeFlag : afterFlag;
    attr.revision = position.revision;
    Fd link(bpf(BPF_LINK_CREATE, attr));
    if (!link.valid()) {
        return lastError("attach tcx link");
    }
    return link;
}

Result<Done> detachTcx(int ifindex, Direction direction, uint32_t programId) {
    Result<std::vector<TcxEntry>> entries = queryTcx(ifindex, direction);
    if (failed(entries)) {
        return std::move(failure(entries));
    }
    auto found = std::find_if(value(entries).begin(), value(entries).end(),
                              [=](const TcxEntry &e) { return e.programId == programId; });
    if (found == value(entries).end()) {
        return Failure{ENOENT, "find program on tcx"};
    }
    if (found->linkId != 0) {
        Fd link(bpf_link_get_fd_by_id(found->linkId));
        if (!link.valid()) {
            return lastError("open link of program");
        }
        return bpf_link_detach(link.get()) == 0 ? Result<Done>(Done{})
                                                : lastError("detach tcx link");
    }
    Fd program(bpf_prog_get_fd_by_id(programId));
    if (!program.valid()) {
        return lastError("open program");
    }
    auto type = static_cast<bpf_attach_type>(tcxAttachType(direction));
    if (bpf_prog_detach2(program.get(), ifindex, type) != 0) {
        return lastError("detach tcx");
    }
    return Done{};
}

Napi::Value toJs(Napi::Env env, TcxRevision &&revision) {
    return Napi::BigInt::New(env, revision.number);
}

Napi::Value toJs(Napi::Env env, TcxPrograms &&programs) {
    Napi::Array array = Napi::Array::New(env, programs.entries.size());
    for (uint32_t i = 0; i < programs.entries.size(); i++) {
        array.Set(i, Napi::Number::New(env, programs.entries[i].programId));
    }
    return array;
}

} // namespace sfunnel
