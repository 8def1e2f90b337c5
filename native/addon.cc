/* The functions of lib/native/binding.ts. */
#include <napi.h>

#include <bpf/libbpf.h>

#include <memory>

#include "attach_clsact.h"
#include "attachment.h"
#include "cpus.h"
#include "device.h"
#include "inner_array.h"
#include "instance.h"
#include "kernel_objects.h"
#include "libbpf_log.h"
#include "link_watch.h"
#include "load.h"
#include "netns.h"
#include "netns_lock.h"
#include "object.h"
#include "promise.h"
#include "route_watch.h"
#include "routes.h"
#include "segmenter.h"
#include "tcx.h"

namespace sfunnel {
namespace {

struct Answer {
    bool yes;
};

Napi::Value toJs(Napi::Env env, const Answer &&answer) {
    return Napi::Boolean::New(env, answer.yes);
}

std::map<std::string, uint32_t> numbers(const Args &args, size_t index, const char *name,
                                        uint32_t least) {
    Napi::Object given = args.object(index, name);
    Napi::Array names = given.GetPropertyNames();
    std::map<std::string, uint32_t> result;
    for (uint32_t i = 0; i < names.Length(); i++) {
        std::string key = names.Get(i).ToString();
        result[key] =
            checkedUint32(given.Get(key), std::string(name) + "." + key, least, UINT32_MAX);
    }
    return result;
}

Napi::Value loadObject(const Napi::CallbackInfo &info) {
    Args args(info);
    Limits limits = numbers(args, 1, "limits", 1);
    Constants constants;
    if (info.Length() > 2 && !info[2].IsUndefined()) {
        constants = numbers(args, 2, "constants", 0);
    }
    /* After the numbers, whose getters may run anything. */
    Bytes bytes = args.bytes(0, "object");
    return run<std::shared_ptr<const Loaded>>(
        info.Env(), [bytes = std::move(bytes), limits = std::move(limits),
                     constants = std::move(constants)] { return load(bytes, limits, constants); });
}

/* Whether tc programs may call a helper here: asked by loading one that does. */
Napi::Value hasHelper(const Napi::CallbackInfo &info) {
    uint32_t helper = Args(info).uint32(0, "helper", 1);
    return run<Answer>(info.Env(), [=]() -> Result<Answer> {
        int known = libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS,
                                            static_cast<bpf_func_id>(helper), nullptr);
        if (known < 0) {
            return Failure{-known, "probe helper"};
        }
        return Answer{known == 1};
    });
}

Napi::Value device(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    std::string name = args.string(1, "name");
    return run<Device>(info.Env(),
                       [=] { return inNetns<Device>(netns, [&] { return findDevice(name); }); });
}

Napi::Value devices(const Napi::CallbackInfo &info) {
    std::string netns = Args(info).string(0, "netns");
    return run<std::vector<Device>>(info.Env(), [=] {
        return inNetns<std::vector<Device>>(netns, [] { return listDevices(); });
    });
}

Napi::Value netnsInode(const Napi::CallbackInfo &info) {
    std::string path = Args(info).string(0, "netns");
    return run<Inode>(info.Env(), [=]() -> Result<Inode> {
        Result<Netns> netns = Netns::open(path);
        if (failed(netns)) {
            return std::move(failure(netns));
        }
        return value(netns).inode();
    });
}

Napi::Value tcxPrograms(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    int ifindex = args.ifindex(1);
    Direction direction = args.direction(2);
    return run<TcxPrograms>(info.Env(), [=] {
        return inNetns<TcxPrograms>(netns, [=]() -> Result<TcxPrograms> {
            auto entries = queryTcx(ifindex, direction);
            if (failed(entries)) {
                return std::move(failure(entries));
            }
            return TcxPrograms{std::move(value(entries))};
        });
    });
}

Napi::Value tcxRevision(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    int ifindex = args.ifindex(1);
    Direction direction = args.direction(2);
    return run<TcxRevision>(info.Env(), [=] {
        return inNetns<TcxRevision>(netns, [=]() -> Result<TcxRevision> {
            auto revision = queryTcxRevision(ifindex, direction);
            if (failed(revision)) {
                return std::move(failure(revision));
            }
            return TcxRevision{value(revision)};
        });
    });
}

Napi::Value lost(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    int ifindex = args.ifindex(1);
    return run<Lost>(info.Env(),
                     [=] { return inNetns<Lost>(netns, [=] { return lostAt(ifindex); }); });
}

Napi::Value qdiscOf(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    int ifindex = args.ifindex(1);
    return run<Qdisc>(info.Env(),
                      [=] { return inNetns<Qdisc>(netns, [=] { return qdisc(ifindex); }); });
}

Napi::Value program(const Napi::CallbackInfo &info) {
    uint32_t id = Args(info).uint32(0, "id");
    return run<ProgramInfo>(info.Env(), [=] { return describeProgram(id); });
}

Napi::Value lookup(const Napi::CallbackInfo &info) {
    Args args(info);
    uint32_t id = args.uint32(0, "mapId");
    Bytes key = args.bytes(1, "key");
    return run<MapEntry>(info.Env(), [=] { return lookupMap(id, key); });
}

Napi::Value readArrayById(const Napi::CallbackInfo &info) {
    uint32_t id = Args(info).uint32(0, "mapId");
    return run<Bytes>(info.Env(), [=] { return readArray(id); });
}

Napi::Value detachTcxById(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    int ifindex = args.ifindex(1);
    Direction direction = args.direction(2);
    uint32_t programId = args.uint32(3, "programId", 1);
    return run<Done>(info.Env(), [=] {
        return inNetns<Done>(netns, [=] { return detachTcx(ifindex, direction, programId); });
    });
}

Napi::Value detachClsactByPlace(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    ClsactPlace place{args.ifindex(1), args.direction(2), args.uint32(3, "priority", 1, UINT16_MAX),
                      args.uint32(4, "handle", 1)};
    return run<Done>(info.Env(),
                     [=] { return inNetns<Done>(netns, [=] { return detachClsact(place); }); });
}

Napi::Value lock(const Napi::CallbackInfo &info) {
    std::string netns = Args(info).string(0, "netns");
    return run<NetnsLock>(info.Env(), [=] { return lockNetns(netns); });
}

Napi::Value watch(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    int ifindex = args.ifindex(1);
    return run<LinkListener>(info.Env(), [=] { return listenToLinks(netns, ifindex); });
}

Napi::Value listRoutes(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    int ifindex = args.ifindex(1);
    uint32_t most = args.uint32(2, "most", 1);
    return run<Routes>(info.Env(), [=] {
        return inNetns<Routes>(netns, [=] { return routesOver(ifindex, most); });
    });
}

Napi::Value watchRoutes(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    int ifindex = args.ifindex(1);
    return run<RouteListener>(info.Env(), [=] { return listenToRoutes(netns, ifindex); });
}

SegmenterNames segmenterNames(const Args &args) {
    /* IFNAMSIZ less its zero. */
    auto name = [&args](size_t index, const char *what) {
        std::string text = args.string(index, what);
        if (text.empty() || text.size() > 15 || text.find('\0') != std::string::npos) {
            args.badRange(std::string(what) + " must have 1 to 15 bytes");
        }
        return text;
    };
    return SegmenterNames{args.ifindex(1), name(2, "sending"), name(3, "receiving")};
}

Napi::Value makeSegmenterIn(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    SegmenterNames names = segmenterNames(args);
    return run<Segmenter>(info.Env(), [=] {
        return inNetns<Segmenter>(netns, [&] { return makeSegmenter(names); });
    });
}

Napi::Value removeSegmenterFrom(const Napi::CallbackInfo &info) {
    Args args(info);
    std::string netns = args.string(0, "netns");
    SegmenterNames names = segmenterNames(args);
    return run<Done>(info.Env(),
                     [=] { return inNetns<Done>(netns, [&] { return removeSegmenter(names); }); });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
    installLibbpfLog();
    auto made = std::make_unique<Instance>();
    made->object = Napi::Persistent(defineObject(env));
    made->array = Napi::Persistent(defineArray(env));
    made->attachment = Napi::Persistent(defineAttachment(env));
    made->lock = Napi::Persistent(defineNetnsLock(env));
    made->watch = Napi::Persistent(defineLinkWatch(env));
    made->routeWatch = Napi::Persistent(defineRouteWatch(env));
    env.SetInstanceData(made.release());

    exports.Set("libbpfVersion", Napi::String::New(env, libbpf_version_string() + 1));
    exports.Set("cpuNumbers", Napi::Number::New(env, cpuNumbers()));
    exports.Set("hasHelper", Napi::Function::New<hasHelper>(env, "hasHelper"));
    exports.Set("load", Napi::Function::New<loadObject>(env, "load"));
    exports.Set("device", Napi::Function::New<device>(env, "device"));
    exports.Set("devices", Napi::Function::New<devices>(env, "devices"));
    exports.Set("netnsInode", Napi::Function::New<netnsInode>(env, "netnsInode"));
    exports.Set("tcxPrograms", Napi::Function::New<tcxPrograms>(env, "tcxPrograms"));
    exports.Set("tcxRevision", Napi::Function::New<tcxRevision>(env, "tcxRevision"));
    exports.Set("lost", Napi::Function::New<lost>(env, "lost"));
    exports.Set("qdisc", Napi::Function::New<qdiscOf>(env, "qdisc"));
    exports.Set("program", Napi::Function::New<program>(env, "program"));
    exports.Set("lookup", Napi::Function::New<lookup>(env, "lookup"));
    exports.Set("readArray", Napi::Function::New<readArrayById>(env, "readArray"));
    exports.Set("detachTcx", Napi::Function::New<detachTcxById>(env, "detachTcx"));
    exports.Set("detachClsact", Napi::Function::New<detachClsactByPlace>(env, "detachClsact"));
    exports.Set("lockNetns", Napi::Function::New<lock>(env, "lockNetns"));
    exports.Set("watchLinks", Napi::Function::New<watch>(env, "watchLinks"));
    exports.Set("routes", Napi::Function::New<listRoutes>(env, "routes"));
    exports.Set("watchRoutes", Napi::Function::New<watchRoutes>(env, "watchRoutes"));
    exports.Set("makeSegmenter", Napi::Function::New<makeSegmenterIn>(env, "makeSegmenter"));
    exports.Set("removeSegmenter",
                Napi::Function::New<removeSegmenterFrom>(env, "removeSegmenter"));
    return exports;
}

} // namespace
} // namespace sfunnel

static Napi::Object initSfunnel(Napi::Env env, Napi::Object exports) {
    return sfunnel::init(env, exports);
}

NODE_API_MODULE(sfunnel, initSfunnel)
