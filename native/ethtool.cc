#include "ethtool.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "fd.h"

namespace sfunnel {
namespace {

/* One command with as much room behind it as it takes; aligned for what the kernel puts there. */
class Buffer {
  public:
    explicit Buffer(size_t size) : words_((size + sizeof(uint64_t) - 1) / sizeof(uint64_t)) {}
    template <typename Command> Command *as() {
        return reinterpret_cast<Command *>(words_.data());
    }

  private:
    std::vector<uint64_t> words_;
};

/* Asks about one device. */
class Ethtool {
  public:
    explicit Ethtool(const std::string &device)
        : device_(device), socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

    /* False: errno says why. */
    bool control(void *command) const {
        ifreq request = {};
        std::memcpy(request.ifr_name, device_.c_str(),
                    std::min(device_.size(), sizeof(request.ifr_name) - 1));
        request.ifr_data = static_cast<char *>(command);
        return ioctl(socket_.get(), SIOCETHTOOL, &request) >= 0;
    }

  private:
    std::string device_;
    Fd socket_;
};

class Features {
  public:
    static Result<Features> open(const std::string &device) {
        constexpr const char *step = "list offloads";
        Features features(device);
        Buffer counting(sizeof(ethtool_sset_info) + sizeof(uint32_t));
        auto *info = counting.as<ethtool_sset_info>();
        info->cmd = ETHTOOL_GSSET_INFO;
        info->sset_mask = uint64_t{1} << ETH_SS_FEATURES;
        if (!features.ethtool_.control(info)) {
            return lastError(step);
        }
        uint32_t count = info->sset_mask == 0 ? 0 : info->data[0];
        Buffer naming(sizeof(ethtool_gstrings) + size_t{count} * ETH_GSTRING_LEN);
        auto *strings = naming.as<ethtool_gstrings>();
        strings->cmd = ETHTOOL_GSTRINGS;
        strings->string_set = ETH_SS_FEATURES;
        strings->len = count;
        if (!features.ethtool_.control(strings)) {
            return lastError(step);
        }
        for (uint32_t i = 0; i < count; i++) {
            const char *name =
                reinterpret_cast<const char *>(strings->data) + size_t{i} * ETH_GSTRING_LEN;
            features.names_.emplace_back(name, strnlen(name, ETH_GSTRING_LEN));
        }
        return features;
    }

    /* Those of these that are on and can be turned off, as words of bits. */
    Result<std::vector<uint32_t>> on(IsUnwanted isUnwanted) const {
        size_t blocks = (names_.size() + 31) / 32;
        Buffer buffer(sizeof(ethtool_gfeatures) + blocks * sizeof(ethtool_get_features_block));
        auto *state = buffer.as<ethtool_gfeatures>();
        state->cmd = ETHTOOL_GFEATURES;
        state->size = static_cast<uint32_t>(blocks);
        if (!ethtool_.control(state)) {
            return lastError("look at offloads");
        }
        std::vector<uint32_t> found(blocks);
        for (size_t i = 0; i < names_.size(); i++) {
            const ethtool_get_features_block &block = state->features[i / 32];
            uint32_t bit = uint32_t{1} << i % 32;
            if ((block.active & block.available & bit) != 0 && isUnwanted(names_[i])) {
                found[i / 32] |= bit;
            }
        }
        return found;
    }

    Result<Done> turnOff(const std::vector<uint32_t> &bits) const {
        Buffer buffer(sizeof(ethtool_sfeatures) + bits.size() * sizeof(ethtool_set_features_block));
        auto *change = buffer.as<ethtool_sfeatures>();
        change->cmd = ETHTOOL_SFEATURES;
        change->size = static_cast<uint32_t>(bits.size());
        for (size_t i = 0; i < bits.size(); i++) {
            change->features[i].valid = bits[i];
        }
        return ethtool_.control(change) ? Result<Done>(Done{}) : lastError("turn offloads off");
    }

  private:
    explicit Features(const std::string &device) : ethtool_(device) {}

    Ethtool ethtool_;
    std::vector<std::string> names_;
};

bool any(const std::vector<uint32_t> &bits) {
    for (uint32_t word : bits) {
        if (word != 0) {
            return true;
        }
    }
    return false;
}

} // namespace

Result<bool> hasOffloads(const std::string &device, IsUnwanted isUnwanted) {
    Result<Features> features = Features::open(device);
    if (failed(features)) {
        return std::move(failure(features));
    }
    auto on = value(features).on(isUnwanted);
    if (failed(on)) {
        return std::move(failure(on));
    }
    return any(value(on));
}

Result<Done> turnOffloadsOff(const std::string &device, IsUnwanted isUnwanted) {
    Result<Features> features = Features::open(device);
    if (failed(features)) {
        return std::move(failure(features));
    }
    auto on = value(features).on(isUnwanted);
    if (failed(on)) {
        return std::move(failure(on));
    }
    return any(value(on)) ? value(features).turnOff(value(on)) : Done{};
}

Result<Done> settleCarrier(const std::string &device) {
    /* The kernel works off what it has put off, before it answers. */
    ethtool_value state = {};
    state.cmd = ETHTOOL_GLINK;
    return Ethtool(device).control(&state) ? Result<Done>(Done{}) : lastError("settle carrier");
}

} // namespace sfunnel
