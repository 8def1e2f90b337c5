#include "object.h"

#include <climits>

#include "attach_clsact.h"
#include "attach_tcx.h"
#include "inner_array.h"
#include "instance.h"
#include "maps.h"
#include "netns.h"
#include "promise.h"
#include "testrun.h"

namespace sfunnel {
namespace {

void checkLength(const Args &args, const char *name, const Bytes &bytes, size_t size,
                 uint32_t count) {
    /* No overflow: size is less than 2^32 times the number of CPUs. */
    if (bytes.size() != size * count) {
        args.badRange(std::string(name) + " must be " + std::to_string(count) + " times " +
                      std::to_string(size) + " bytes, not " + std::to_string(bytes.size()));
    }
}

class LoadedObject final : public Napi::ObjectWrap<LoadedObject> {
  public:
    /* Called from JavaScript, through `constructor`, it makes one that is already closed. */
    using ObjectWrap::ObjectWrap;

    static Napi::Function define(Napi::Env env) {
        return DefineClass(
            env, "NativeObject",
            {
                InstanceMethod<&LoadedObject::programIds>("programIds", napi_default_method),
                InstanceMethod<&LoadedObject::segmenterProgramId>("segmenterProgramId",
                                                                  napi_default_method),
                InstanceMethod<&LoadedObject::update>("update", napi_default_method),
                InstanceMethod<&LoadedObject::remove>("remove", napi_default_method),
                InstanceMethod<&LoadedObject::read>("read", napi_default_method),
                InstanceMethod<&LoadedObject::makeArray>("makeArray", napi_default_method),
                InstanceMethod<&LoadedObject::place>("place", napi_default_method),
                InstanceMethod<&LoadedObject::entries>("entries", napi_default_method),
                InstanceMethod<&LoadedObject::testRun>("testRun", napi_default_method),
                InstanceMethod<&LoadedObject::attachTcx>("attachTcx", napi_default_method),
                InstanceMethod<&LoadedObject::attachClsact>("attachClsact", napi_default_method),
                InstanceMethod<&LoadedObject::close>("close", napi_default_method),
            });
    }

    void hold(std::shared_ptr<const Loaded> loaded) {
        loaded_ = std::move(loaded);
    }

  private:
    using Info = const Napi::CallbackInfo &;

    Napi::Value programIds(Info info) {
        Napi::Array ids = Napi::Array::New(info.Env(), 2);
        for (uint32_t i = 0; i < 2; i++) {
            ids.Set(i, Napi::Number::New(info.Env(), loaded_ ? loaded_->programs[i].id : 0));
        }
        return ids;
    }

    Napi::Value segmenterProgramId(Info info) {
        return Napi::Number::New(info.Env(),
                                 loaded_ ? loaded_->program(ProgramKind::segmenter).id : 0);
    }

    Napi::Value update(Info info) {
        Args args(info);
        std::string name = args.string(0, "map");
        Bytes keys = args.bytes(1, "keys");
        Bytes values = args.bytes(2, "values");
        uint32_t count = args.uint32(3, "count");
        const Map *map = find(name);
        if (map == nullptr) {
            return withoutMap(info, name);
        }
        checkLength(args, "keys", keys, map->keySize, count);
        checkLength(args, "values", values, map->valueSize, count);
        return onMap<Done>(info, map,
                           [keys = std::move(keys), values = std::move(values),
                            count](const Map &map) { return updateMap(map, keys, values, count); });
    }

    Napi::Value remove(Info info) {
        Args args(info);
        std::string name = args.string(0, "map");
        Bytes keys = args.bytes(1, "keys");
        uint32_t count = args.uint32(2, "count");
        const Map *map = find(name);
        if (map == nullptr) {
            return withoutMap(info, name);
        }
        checkLength(args, "keys", keys, map->keySize, count);
        return onMap<Done>(info, map, [keys = std::move(keys), count](const Map &map) {
            return removeFromMap(map, keys, count);
        });
    }

    Napi::Value read(Info info) {
        Args args(info);
        std::string name = args.string(0, "map");
        uint32_t first = args.uint32(1, "first");
        uint32_t count = args.uint32(2, "count");
        const Map *map = find(name);
        if (map == nullptr) {
            return withoutMap(info, name);
        }
        if (map->type != BPF_MAP_TYPE_ARRAY && map->type != BPF_MAP_TYPE_PERCPU_ARRAY) {
            args.badRange(name + " is not an array");
        }
        if (uint64_t{first} + count > map->maxEntries) {
            args.badRange(name + " has " + std::to_string(map->maxEntries) + " entries");
        }
        return onMap<Bytes>(
            info, map, [first, count](const Map &map) { return readArray(map, first, count); });
    }

    Napi::Value entries(Info info) {
        Args args(info);
        std::string name = args.string(0, "map");
        const Map *map = find(name);
        if (map == nullptr) {
            return withoutMap(info, name);
        }
        if (map->type != BPF_MAP_TYPE_HASH && map->type != BPF_MAP_TYPE_LRU_HASH) {
            args.badRange(name + " is not a hash");
        }
        std::optional<uint32_t> alone;
        if (info.Length() > 1) {
            alone = args.uint32(1, "alone", 0, map->valueSize - 1);
        }
        return onMap<EntryCount>(
            info, map, [alone](const Map &counted) { return countEntries(counted, alone); });
    }

    Napi::Value makeArray(Info info) {
        Args args(info);
        uint32_t valueSize = args.uint32(0, "valueSize", 1);
        uint32_t count = args.uint32(1, "count", 1);
        return onLoaded<InnerArray>(info, "create inner map", [valueSize, count](const Loaded &) {
            return sfunnel::makeArray(valueSize, count);
        });
    }

    Napi::Value place(Info info) {
        Args args(info);
        std::string name = args.string(0, "outer");
        uint32_t slot = args.uint32(1, "slot");
        if (!info[2].IsArray()) {
            args.badType("arrays", "an array");
        }
        Napi::Array given = info[2].As<Napi::Array>();
        std::vector<InnerArray> arrays;
        for (uint32_t i = 0; i < given.Length(); i++) {
            arrays.push_back(checkedArray(given.Get(i), "arrays"));
        }
        const Map *outer = find(name);
        if (outer == nullptr) {
            return withoutMap(info, name);
        }
        for (uint32_t i = 0; i < arrays.size(); i++) {
            checkOuter(args, name, *outer, slot + i);
        }
        return onMap<Done>(info, outer, [slot, arrays = std::move(arrays)](const Map &map) {
            return placeArrays(map, slot, arrays);
        });
    }

    static void checkOuter(const Args &args, const std::string &name, const Map &outer,
                           uint32_t slot) {
        if (outer.type != BPF_MAP_TYPE_ARRAY_OF_MAPS) {
            args.badRange(name + " is not an array of maps");
        }
        if (slot >= outer.maxEntries) {
            args.badRange(name + " has " + std::to_string(outer.maxEntries) + " slots");
        }
    }

    Napi::Value testRun(Info info) {
        Args args(info);
        Direction direction = args.direction(0);
        Bytes frame = args.bytes(1, "frame");
        std::vector<uint32_t> words = args.words(2, "cb");
        uint32_t repeat = args.uint32(3, "repeat", 1, INT_MAX);
        ControlBlock cb;
        if (words.size() != cb.size()) {
            args.badRange("cb must be 5 words");
        }
        std::copy(words.begin(), words.end(), cb.begin());
        std::string netns = info[4].IsUndefined() ? "" : args.string(4, "netns");
        int ifindex = info[5].IsUndefined() ? 0 : args.ifindex(5);
        return onLoaded<TestRun>(info, "test run",
                                 [direction, frame = std::move(frame), cb, repeat, netns,
                                  ifindex](const Loaded &loaded) {
                                     return inNetns<TestRun>(netns, [&] {
                                         return sfunnel::testRun(loaded.program(direction), frame,
                                                                 cb, repeat, ifindex);
                                     });
                                 });
    }

    Napi::Value attachTcx(Info info) {
        Args args(info);
        std::string netns = args.string(0, "netns");
        TcxPlace place{args.ifindex(1), args.direction(2), args.boolean(3, "first"),
                       args.boolean(4, "link"),
                       info[6].IsUndefined() ? 0 : args.uint64(6, "revision")};
        Predecessor predecessor = checkedPredecessor(info[5], "replace");
        ProgramKind kind = programKind(info, 7, place.direction);
        return onLoaded<AttachmentHandle>(
            info, "attach tcx", [netns, place, predecessor, kind](const Loaded &loaded) {
                return sfunnel::attachTcx(loaded.program(kind), netns, place, predecessor);
            });
    }

    Napi::Value attachClsact(Info info) {
        Args args(info);
        std::string netns = args.string(0, "netns");
        ClsactPlace place{args.ifindex(1), args.direction(2),
                          args.uint32(3, "priority", 1, UINT16_MAX), args.uint32(4, "handle", 1)};
        bool persist = args.boolean(5, "persist");
        Predecessor predecessor =
            info[6].IsUndefined() ? Predecessor{} : checkedPredecessor(info[6], "replace");
        ProgramKind kind = programKind(info, 7, place.direction);
        return onLoaded<AttachmentHandle>(
            info, "attach clsact",
            [netns, place, predecessor, persist, kind](const Loaded &loaded) {
                return sfunnel::attachClsact(loaded.program(kind), netns, place, predecessor,
                                             persist);
            });
    }

    void close(Info) {
        loaded_.reset();
    }

    /* That of the direction, unless another one is named. */
    static ProgramKind programKind(Info info, size_t index, Direction direction) {
        return info[index].IsUndefined()
                   ? static_cast<ProgramKind>(direction)
                   : static_cast<ProgramKind>(Args(info).uint32(index, "program", 0, 2));
    }

    /* Null where there is none by this name, or this is closed. */
    const Map *find(const std::string &name) const {
        return loaded_ ? loaded_->map(name) : nullptr;
    }

    Napi::Value withoutMap(Info info, const std::string &name) const {
        return failedPromise(info.Env(), Failure{loaded_ ? ENOENT : EBADF, "find map " + name});
    }

    /* The work holds the descriptors: close() meanwhile does no harm. */
    template <typename T, typename Work> Napi::Value onMap(Info info, const Map *map, Work work) {
        return run<T>(info.Env(),
                      [loaded = loaded_, map, work = std::move(work)] { return work(*map); });
    }

    template <typename T, typename Work>
    Napi::Value onLoaded(Info info, const char *step, Work work) {
        if (!loaded_) {
            return failedPromise(info.Env(), Failure{EBADF, step});
        }
        return run<T>(info.Env(),
                      [loaded = loaded_, work = std::move(work)] { return work(*loaded); });
    }

    std::shared_ptr<const Loaded> loaded_;
};

} // namespace

Napi::Value toJs(Napi::Env env, std::shared_ptr<const Loaded> &&loaded) {
    Napi::Object object = instance(env).object.New({});
    LoadedObject::Unwrap(object)->hold(std::move(loaded));
    return object;
}

Napi::Function defineObject(Napi::Env env) {
    return LoadedObject::define(env);
}

} // namespace sfunnel
