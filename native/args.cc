#include "args.h"

#include <climits>
#include <cmath>
#include <cstring>

namespace sfunnel {

uint32_t checkedUint32(Napi::Value value, const std::string &name, uint32_t least, uint32_t most) {
    if (!value.IsNumber()) {
        throw Napi::TypeError::New(value.Env(), name + " must be a number");
    }
    double number = value.As<Napi::Number>().DoubleValue();
    /* Not (a || b) of the opposites: NaN must fail too. */
    if (!(number >= least && number <= most && std::trunc(number) == number)) {
        throw Napi::RangeError::New(value.Env(), name + " must be an integer from " +
                                                     std::to_string(least) + " to " +
                                                     std::to_string(most));
    }
    return static_cast<uint32_t>(number);
}

uint32_t Args::uint32(size_t index, const char *name, uint32_t least, uint32_t most) const {
    return checkedUint32(info_[index], name, least, most);
}

uint64_t Args::uint64(size_t index, const char *name) const {
    if (!info_[index].IsBigInt()) {
        badType(name, "a BigInt");
    }
    bool lossless = false;
    uint64_t number = info_[index].As<Napi::BigInt>().Uint64Value(&lossless);
    if (!lossless) {
        badRange(std::string(name) + " must be a BigInt of 64 bits");
    }
    return number;
}

int Args::ifindex(size_t index) const {
    return static_cast<int>(uint32(index, "ifindex", 1, INT_MAX));
}

Direction Args::direction(size_t index) const {
    return static_cast<Direction>(uint32(index, "direction", 0, 1));
}

bool Args::boolean(size_t index, const char *name) const {
    if (!info_[index].IsBoolean()) {
        badType(name, "a boolean");
    }
    return info_[index].As<Napi::Boolean>().Value();
}

std::string Args::string(size_t index, const char *name) const {
    if (!info_[index].IsString()) {
        badType(name, "a string");
    }
    return info_[index].As<Napi::String>().Utf8Value();
}

Bytes Args::bytes(size_t index, const char *name) const {
    Napi::Value value = info_[index];
    if (!value.IsTypedArray() ||
        value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
        badType(name, "a Uint8Array");
    }
    auto array = value.As<Napi::Uint8Array>();
    /* A detached array has length 0 and no data. */
    return array.ElementLength() == 0 ? Bytes{}
                                      : Bytes(array.Data(), array.Data() + array.ElementLength());
}

std::vector<uint32_t> Args::words(size_t index, const char *name) const {
    Napi::Value value = info_[index];
    if (!value.IsTypedArray() ||
        value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
        badType(name, "a Uint32Array");
    }
    auto array = value.As<Napi::Uint32Array>();
    if (array.ElementLength() == 0) {
        return {};
    }
    return std::vector<uint32_t>(array.Data(), array.Data() + array.ElementLength());
}

Napi::Object Args::object(size_t index, const char *name) const {
    if (!info_[index].IsObject()) {
        badType(name, "an object");
    }
    return info_[index].As<Napi::Object>();
}

void Args::badType(const char *name, const char *expected) const {
    throw Napi::TypeError::New(info_.Env(), std::string(name) + " must be " + expected);
}

void Args::badRange(const std::string &message) const {
    throw Napi::RangeError::New(info_.Env(), message);
}

Napi::Value toJs(Napi::Env env, Bytes &&bytes) {
    Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
    if (!bytes.empty()) {
        std::memcpy(array.Data(), bytes.data(), bytes.size());
    }
    return array;
}

} // namespace sfunnel
