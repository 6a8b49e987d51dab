// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Tells ThreadSanitizer what an rte_ring guarantees: all that was written before an object was given to the ring is seen
/// by whoever took it. The ring does this with plain x86 stores, which the sanitizer cannot know. Nothing in other builds.
#if defined(__has_feature)  // clang's way to say it; GCC's is __SANITIZE_THREAD__
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace sekisho::dataplane {

/// Before the enqueue.
inline void before_given([[maybe_unused]] void* ring) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(ring);
#endif
}

/// After the dequeue.
inline void after_taken([[maybe_unused]] void* ring) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(ring);
#endif
}

}  // namespace sekisho::dataplane
