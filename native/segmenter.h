/*
 * The segmenter: a veth pair whose sending end leaves all segmentation and checksums to the
 * kernel. What is sent there is cut up, and comes out of the receiving end.
 */
#pragma once

#include <napi.h>

#include <string>

#include "args.h"
#include "result.h"

namespace sfunnel {

struct SegmenterNames {
    int ifindex;
    std::string sending;
    std::string receiving;
};

struct Segmenter {
    /* Of the receiving end. */
    int receiver;
    bool made;
    /* It was there, but not as it has to be. */
    bool repaired;
};

/* All in the namespace of the calling thread. */

/*
 * Makes the pair unless it is there, and puts right what is not as it has to be. Fails with EEXIST
 * where a device that is none of it has its index or one of its names. What was made for it goes
 * when it fails.
 */
Result<Segmenter> makeSegmenter(const SegmenterNames &names);

/* A device that only has the index of it stays. */
Result<Done> removeSegmenter(const SegmenterNames &names);

Napi::Value toJs(Napi::Env env, Segmenter &&segmenter);

} // namespace sfunnel
