/* One program on one hook of one device, and its face in JavaScript. */
#pragma once

#include <napi.h>

#include <memory>

#include "fd.h"
#include "result.h"

namespace sfunnel {

/* What stands on a hook. */
struct Standing {
    Fd program;
    /* Not valid: attached without a link. */
    Fd link;
};

/* What each kind of attachment knows about its own removal. */
class Attachment {
  public:
    Attachment() = default;
    virtual ~Attachment() = default;
    Attachment(const Attachment &) = delete;
    Attachment &operator=(const Attachment &) = delete;

    /* These may be called from any thread. */

    /* Idempotent. */
    virtual Result<Done> detach() = 0;

    /*
     * Puts back, in one step, what gave way to this; detaches where nothing did, or where
     * settle() was called. Whoever has taken its place since then keeps it.
     */
    virtual Result<Done> revert() = 0;

    /* Lets go of what gave way to this. */
    virtual void settle() = 0;

    /* Descriptors of its own for who takes its place. Fails with ENOENT once detached. */
    virtual Result<Standing> standing() = 0;
};

using AttachmentHandle = std::shared_ptr<Attachment>;

/* Who gives way in the step that attaches: an attachment of this process, or a program by id. */
struct Predecessor {
    AttachmentHandle attachment;
    uint32_t programId = 0;

    explicit operator bool() const {
        return attachment != nullptr || programId != 0;
    }
};

/* From JavaScript: a NativeAttachment, or the id of a program, where 0 is nobody. */
Predecessor checkedPredecessor(Napi::Value value, const char *name);

Napi::Value toJs(Napi::Env env, AttachmentHandle &&attachment);

Napi::Function defineAttachment(Napi::Env env);

} // namespace sfunnel
