#include "detach_at_exit.h"

#include <mutex>
#include <set>

namespace sfunnel {
namespace {

/* Its destructor is what exit() runs; by then the workers and the pool have been joined. */
class Attached {
  public:
    ~Attached() {
        std::lock_guard lock(mutex_);
        for (Attachment *attachment : attachments_) {
            try {
                attachment->detach();
            } catch (...) {
                /* No memory or no thread to be had: nobody is left to tell. */
            }
        }
        attachments_.clear();
    }
    void add(Attachment &attachment) {
        std::lock_guard lock(mutex_);
        attachments_.insert(&attachment);
    }
    void remove(Attachment &attachment) {
        std::lock_guard lock(mutex_);
        attachments_.erase(&attachment);
    }

  private:
    std::mutex mutex_;
    std::set<Attachment *> attachments_;
};

Attached &attached() {
    static Attached all;
    return all;
}

} // namespace

DetachAtExit::DetachAtExit(Attachment &attachment) : attachment_(attachment) {
    attached().add(attachment_);
}

DetachAtExit::~DetachAtExit() {
    attached().remove(attachment_);
}

} // namespace sfunnel
