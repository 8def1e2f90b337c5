#include "testrun.h"

#include <linux/bpf.h>

#include <algorithm>
#include <csignal>

namespace sfunnel {
namespace {

/* The most that a program may add to a frame; a carrier needs 20 bytes. */
constexpr size_t growth = 256;

/* The kernel gives a run up with EINTR on any signal, and a pool thread may be handed one. */
class BlockSignals {
  public:
    BlockSignals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~BlockSignals() {
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    BlockSignals(const BlockSignals &) = delete;
    BlockSignals &operator=(const BlockSignals &) = delete;

  private:
    sigset_t before_;
};

} // namespace

Result<TestRun> testRun(const Program &program, const Bytes &frame, const ControlBlock &cb,
                        uint32_t repeat, int ifindex) {
    struct __sk_buff in = {};
    struct __sk_buff out = {};
    std::copy(cb.begin(), cb.end(), in.cb);
    in.ifindex = static_cast<uint32_t>(ifindex);
    Bytes result(frame.size() + growth);
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = frame.data();
    options.data_size_in = static_cast<uint32_t>(frame.size());
    options.data_out = result.data();
    options.data_size_out = static_cast<uint32_t>(result.size());
    options.ctx_in = &in;
    options.ctx_size_in = sizeof(in);
    options.ctx_out = &out;
    options.ctx_size_out = sizeof(out);
    options.repeat = static_cast<int>(repeat);
    BlockSignals block;
    if (bpf_prog_test_run_opts(program.fd.get(), &options) != 0) {
        return lastError("test run");
    }
    result.resize(std::min<size_t>(options.data_size_out, result.size()));
    TestRun run{static_cast<int32_t>(options.retval), std::move(result), {}, options.duration};
    std::copy(std::begin(out.cb), std::end(out.cb), run.cb.begin());
    return run;
}

Napi::Value toJs(Napi::Env env, TestRun &&run) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("verdict", Napi::Number::New(env, run.verdict));
    object.Set("frame", toJs(env, std::move(run.frame)));
    Napi::Uint32Array cb = Napi::Uint32Array::New(env, run.cb.size());
    std::copy(run.cb.begin(), run.cb.end(), cb.Data());
    object.Set("cb", cb);
    object.Set("duration", Napi::Number::New(env, run.duration));
    return object;
}

} // namespace sfunnel
