/* An array that takes a place in an array of maps, and its face in JavaScript. */
#pragma once

#include <napi.h>

#include <memory>

#include "load.h"
#include "result.h"

namespace sfunnel {

/* Shared by the JavaScript object and the work under way, and with the kernel where it was placed.
 */
using InnerArray = std::shared_ptr<const Map>;

/* With zeros in it. It may have any number of entries, whatever the outer map was told of (5.10).
 */
Result<InnerArray> makeArray(uint32_t valueSize, uint32_t count);

/* From JavaScript: a NativeArray that was not closed. */
InnerArray checkedArray(Napi::Value value, const char *name);

Napi::Value toJs(Napi::Env env, InnerArray &&array);

Napi::Function defineArray(Napi::Env env);

} // namespace sfunnel
