/*
 * Detaches what is still attached when the process calls exit(). process.exit() does that
 * without ending its environment first: no finalizer runs, and the kernel takes back
 * descriptors but no tc filters.
 */
#pragma once

#include "attachment.h"

namespace sfunnel {

/* A member of an attachment; the last one, since the others must be alive while it is. */
class DetachAtExit {
  public:
    explicit DetachAtExit(Attachment &attachment);
    ~DetachAtExit();
    DetachAtExit(const DetachAtExit &) = delete;
    DetachAtExit &operator=(const DetachAtExit &) = delete;

  private:
    Attachment &attachment_;
};

} // namespace sfunnel
