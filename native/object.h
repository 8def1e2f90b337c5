/* The face of a loaded object in JavaScript. */
#pragma once

#include <napi.h>

#include <memory>

#include "load.h"

namespace sfunnel {

Napi::Value toJs(Napi::Env env, std::shared_ptr<const Loaded> &&loaded);

Napi::Function defineObject(Napi::Env env);

} // namespace sfunnel
