/* What a step gives back: its value, or the errno and the step that failed. */
#pragma once

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

namespace sfunnel {

struct Failure {
    /* Positive. */
    int error;
    std::string step;
    std::string log = {};
};

/* The value of a step that has none. */
struct Done {};

template <typename T> using Result = std::variant<T, Failure>;

template <typename T> bool failed(const Result<T> &result) {
    return std::holds_alternative<Failure>(result);
}

template <typename T> T &value(Result<T> &result) {
    return std::get<T>(result);
}

template <typename T> Failure &failure(Result<T> &result) {
    return std::get<Failure>(result);
}

/* Failure from errno as the last call left it. */
inline Failure lastError(std::string step) {
    return Failure{errno, std::move(step)};
}

} // namespace sfunnel
