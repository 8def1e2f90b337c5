#include "attachment.h"

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
             InstanceMethod<&AttachmentObject::release>("release", napi_default_method)});
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

Napi::Function defineAttachment(Napi::Env env) {
    return AttachmentObject::define(env);
}

} // namespace sfunnel
