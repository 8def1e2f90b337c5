/* What libbpf has to say, kept for the load that it is about and never printed. */
#pragma once

#include <string>

namespace sfunnel {

/* Takes libbpf's output away from stderr for the whole process. Any number of times. */
void installLibbpfLog();

/*
 * Collects the warnings of libbpf on this thread, the verifier's log among them, while it
 * lives. libbpf's print function is one for the process and has no context, hence the thread.
 */
class LibbpfLog {
  public:
    LibbpfLog();
    ~LibbpfLog();
    LibbpfLog(const LibbpfLog &) = delete;
    LibbpfLog &operator=(const LibbpfLog &) = delete;

    /* The tail: the reason for a refusal stands at the end. */
    std::string take();
    void append(std::string text);

  private:
    std::string text_;
};

} // namespace sfunnel
