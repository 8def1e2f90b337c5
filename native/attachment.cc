#include "attachment.h"

#include "args.h"
#include "instance.h"
#include "promise.h"

namespace sfunnel {
namespace {

class AttachmentObject final : public Napi::ObjectWrap<AttachmentObject> {
  public:
    /* Called from JavaScript, through `constructor`, it makes one that is attached to nothing. */
    using ObjectWrap::ObjectWrap;

    static Napi::Function define(Napi::Env env) {
        return DefineClass(
            env, "NativeAttachment",
            {InstanceMethod<&AttachmentObject::detach>("detach", napi_default_method),
             InstanceMethod<&AttachmentObject::revert>("revert", napi_default_method),
             InstanceMethod<&AttachmentObject::settle>("settle", napi_default_method),
             InstanceMethod<&AttachmentObject::release>("release", napi_default_method)});
    }

    AttachmentHandle held() const {
        return attachment_;
    }

    void hold(AttachmentHandle attachment) {
        attachment_ = std::move(attachment);
    }

  private:
    Napi::Value detach(const Napi::CallbackInfo &info) {
        return run<Done>(info.Env(), [attachment = attachment_]() -> Result<Done> {
            return attachment ? attachment->detach() : Done{};
        });
    }

    Napi::Value revert(const Napi::CallbackInfo &info) {
        return run<Done>(info.Env(), [attachment = attachment_]() -> Result<Done> {
            return attachment ? attachment->revert() : Done{};
        });
    }

    Napi::Value settle(const Napi::CallbackInfo &info) {
        if (attachment_) {
            attachment_->settle();
        }
        return info.Env().Undefined();
    }

    Napi::Value release(const Napi::CallbackInfo &info) {
        attachment_.reset();
        return info.Env().Undefined();
    }

    AttachmentHandle attachment_;
};

} // namespace

Napi::Value toJs(Napi::Env env, AttachmentHandle &&attachment) {
    Napi::Object object = instance(env).attachment.New({});
    AttachmentObject::Unwrap(object)->hold(std::move(attachment));
    return object;
}

Predecessor checkedPredecessor(Napi::Value value, const char *name) {
    Napi::Env env = value.Env();
    if (value.IsObject() && value.As<Napi::Object>().InstanceOf(instance(env).attachment.Value())) {
        AttachmentHandle held = AttachmentObject::Unwrap(value.As<Napi::Object>())->held();
        if (!held) {
            throw Napi::RangeError::New(env, std::string(name) + " is released");
        }
        return Predecessor{std::move(held), 0};
    }
    return Predecessor{nullptr, checkedUint32(value, name, 0, UINT32_MAX)};
}

Napi::Function defineAttachment(Napi::Env env) {
    return AttachmentObject::define(env);
}

} // namespace sfunnel
