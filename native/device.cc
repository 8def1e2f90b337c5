#include "device.h"

namespace sfunnel {
namespace {

Napi::Object filterToJs(Napi::Env env, const Filter &filter) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("direction", Napi::Number::New(env, static_cast<uint8_t>(filter.direction)));
    object.Set("kind", Napi::String::New(env, filter.kind));
    object.Set("chain", Napi::Number::New(env, filter.chain));
    object.Set("protocol", Napi::Number::New(env, filter.protocol));
    object.Set("priority", Napi::Number::New(env, filter.priority));
    object.Set("handle", Napi::Number::New(env, filter.handle));
    object.Set("name", Napi::String::New(env, filter.name));
    object.Set("programId", Napi::Number::New(env, filter.programId));
    return object;
}

} // namespace

Napi::Value toJs(Napi::Env env, Device &&device) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("ifindex", Napi::Number::New(env, device.ifindex));
    object.Set("name", Napi::String::New(env, device.name));
    object.Set("mtu", Napi::Number::New(env, device.mtu));
    object.Set("type", Napi::Number::New(env, device.type));
    return object;
}

Napi::Value toJs(Napi::Env env, std::vector<Device> &&devices) {
    Napi::Array array = Napi::Array::New(env, devices.size());
    for (uint32_t i = 0; i < devices.size(); i++) {
        array.Set(i, toJs(env, std::move(devices[i])));
    }
    return array;
}

Napi::Value toJs(Napi::Env env, Lost &&lost) {
    return Napi::Number::New(env, static_cast<double>(lost.packets));
}

Napi::Value toJs(Napi::Env env, Qdisc &&qdisc) {
    Napi::Object object = Napi::Object::New(env);
    Napi::Array filters = Napi::Array::New(env);
    for (const Filter &filter : qdisc.filters) {
        if (filter.handle != 0) {
            filters.Set(filters.Length(), filterToJs(env, filter));
        }
    }
    object.Set("kind", Napi::String::New(env, qdisc.kind));
    object.Set("filters", filters);
    return object;
}

} // namespace sfunnel
