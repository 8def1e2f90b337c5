#include "libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <utility>

namespace sfunnel {
namespace {

constexpr size_t tailLength = 64 * 1024;

thread_local LibbpfLog *current = nullptr;

int print(enum libbpf_print_level level, const char *format, va_list arguments) noexcept {
    if (current == nullptr || level != LIBBPF_WARN) {
        return 0;
    }
    try {
        va_list counted;
        va_copy(counted, arguments);
        int length = std::vsnprintf(nullptr, 0, format, counted);
        va_end(counted);
        if (length > 0) {
            std::string text(static_cast<size_t>(length), '\0');
            std::vsnprintf(text.data(), text.size() + 1, format, arguments);
            current->append(std::move(text));
        }
    } catch (...) {
        /* No memory for the log; the errno still gets through. */
    }
    return 0;
}

} // namespace

void installLibbpfLog() {
    libbpf_set_print(print);
}

LibbpfLog::LibbpfLog() {
    current = this;
}

LibbpfLog::~LibbpfLog() {
    current = nullptr;
}

void LibbpfLog::append(std::string text) {
    text_ += text;
    if (text_.size() > 2 * tailLength) {
        text_.erase(0, text_.size() - tailLength);
    }
}

std::string LibbpfLog::take() {
    if (text_.size() > tailLength) {
        text_.erase(0, text_.size() - tailLength);
        /* Begin with a whole line. */
        text_.erase(0, text_.find('\n') + 1);
    }
    return std::exchange(text_, {});
}

} // namespace sfunnel
