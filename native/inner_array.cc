#include "inner_array.h"

#include <linux/bpf.h>

#include <cstring>

#include "args.h"
#include "instance.h"
#include "maps.h"
#include "promise.h"

namespace sfunnel {
namespace {

Bytes indexes(uint32_t first, uint32_t count) {
    Bytes keys(sizeof(first) * count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = first + i;
        std::memcpy(keys.data() + sizeof(index) * i, &index, sizeof(index));
    }
    return keys;
}

class ArrayObject final : public Napi::ObjectWrap<ArrayObject> {
  public:
    /* Called from JavaScript, through `constructor`, it makes one that is already closed. */
    using ObjectWrap::ObjectWrap;

    static Napi::Function define(Napi::Env env) {
        return DefineClass(env, "NativeArray",
                           {InstanceMethod<&ArrayObject::write>("write", napi_default_method),
                            InstanceMethod<&ArrayObject::read>("read", napi_default_method),
                            InstanceMethod<&ArrayObject::close>("close", napi_default_method)});
    }

    InnerArray held() const {
        return array_;
    }

    void hold(InnerArray array) {
        array_ = std::move(array);
    }

  private:
    using Info = const Napi::CallbackInfo &;

    void checkRange(const Args &args, uint32_t first, uint32_t count) const {
        if (uint64_t{first} + count > array_->maxEntries) {
            args.badRange("the array has " + std::to_string(array_->maxEntries) + " entries");
        }
    }

    Napi::Value write(Info info) {
        Args args(info);
        uint32_t first = args.uint32(0, "first");
        Bytes values = args.bytes(1, "values");
        uint32_t count = args.uint32(2, "count");
        if (!array_) {
            return failedPromise(info.Env(), Failure{EBADF, "write array"});
        }
        checkRange(args, first, count);
        if (values.size() != array_->valueSize * count) {
            args.badRange("values must be " + std::to_string(count) + " times " +
                          std::to_string(array_->valueSize) + " bytes, not " +
                          std::to_string(values.size()));
        }
        return run<Done>(info.Env(), [array = array_, first, values = std::move(values), count] {
            return updateMap(*array, indexes(first, count), values, count);
        });
    }

    Napi::Value read(Info info) {
        Args args(info);
        uint32_t first = args.uint32(0, "first");
        uint32_t count = args.uint32(1, "count");
        if (!array_) {
            return failedPromise(info.Env(), Failure{EBADF, "read array"});
        }
        checkRange(args, first, count);
        return run<Bytes>(
            info.Env(), [array = array_, first, count] { return readArray(*array, first, count); });
    }

    void close(Info) {
        array_.reset();
    }

    InnerArray array_;
};

} // namespace

Result<InnerArray> makeArray(uint32_t valueSize, uint32_t count) {
    constexpr enum bpf_map_type type = BPF_MAP_TYPE_ARRAY;
    /* As in bpf/maps.h. */
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE);
    auto array = std::make_shared<Map>(
        Map{Fd(bpf_map_create(type, "sfunnel_rules", sizeof(uint32_t), valueSize, count, &options)),
            type, sizeof(uint32_t), entrySize(type, valueSize), count});
    if (!array->fd.valid()) {
        return lastError("create inner map");
    }
    return InnerArray(std::move(array));
}

InnerArray checkedArray(Napi::Value value, const char *name) {
    Napi::Env env = value.Env();
    if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(instance(env).array.Value())) {
        throw Napi::TypeError::New(env, std::string(name) + " must be a NativeArray");
    }
    InnerArray held = ArrayObject::Unwrap(value.As<Napi::Object>())->held();
    if (!held) {
        throw Napi::RangeError::New(env, std::string(name) + " is closed");
    }
    return held;
}

Napi::Value toJs(Napi::Env env, InnerArray &&array) {
    Napi::Object object = instance(env).array.New({});
    ArrayObject::Unwrap(object)->hold(std::move(array));
    return object;
}

Napi::Function defineArray(Napi::Env env) {
    return ArrayObject::define(env);
}

} // namespace sfunnel
