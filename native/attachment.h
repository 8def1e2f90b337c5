/* One program on one hook of one device, and its face in JavaScript. */
#pragma once

#include <napi.h>

#include <memory>

#include "result.h"

namespace sfunnel {

/* What each kind of attachment knows about its own removal. */
class Attachment {
  public:
    Attachment() = default;
    virtual ~Attachment() = default;
    Attachment(const Attachment &) = delete;
    Attachment &operator=(const Attachment &) = delete;

    /* Idempotent; may be called from any thread. */
    virtual Result<Done> detach() = 0;
};

using AttachmentHandle = std::shared_ptr<Attachment>;

Napi::Value toJs(Napi::Env env, AttachmentHandle &&attachment);

Napi::Function defineAttachment(Napi::Env env);

} // namespace sfunnel
