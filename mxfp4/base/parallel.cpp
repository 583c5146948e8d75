#include "mxfp4/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>

#if defined(MXFP4_STD_THREADS)
#include <thread>
#include <vector>
#else
#include <omp.h>
#include <pthread.h>
#endif

namespace mxfp4 {
namespace {

#if !defined(MXFP4_STD_THREADS)
// libgomp would wait for its threads in a process that fork() made, where they are not: Python's
// multiprocessing and torch's DataLoader fork by default. One thread computes there.
bool forked = false;
[[maybe_unused]] const int fork_is_noticed = pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif

// Runs body(worker) once on each of `workers` threads, the calling one among them. ThreadSanitizer does not
// understand libgomp's barriers, so the build for it uses std::thread.
template <class Body>
void run_team(int workers, const Body& body) {
#if defined(MXFP4_STD_THREADS)
  std::vector<std::thread> others;
  for (int worker = 1; worker < workers; ++worker) others.emplace_back([&body, worker] { body(worker); });
  body(0);
  for (std::thread& other : others) other.join();
#else
  // The runtime may give fewer threads than asked for; every one of them takes indices until none is left. A
  // caller that is in a parallel region of its own has its threads already.
  std::atomic<int> next_worker{0};
#pragma omp parallel num_threads(workers) if (!omp_in_parallel() && !forked)
  body(next_worker.fetch_add(1));
#endif
}

}  // namespace

void run_parallel(const Context& context, std::size_t count, const LoopBody& body) {
  const int workers =
      static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(std::max(context.threads, 1)), count));
  if (workers <= 1) {
    for (std::size_t index = 0; index < count; ++index) body.call(body.function, 0, index);
    return;
  }
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::exception_ptr error;
  std::size_t error_index = count;
  run_team(workers, [&](int worker) {
    while (!failed.load(std::memory_order_relaxed)) {
      const std::size_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
      try {
        body.call(body.function, worker, index);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (index < error_index) {
          error_index = index;
          error = std::current_exception();
        }
        failed = true;
      }
    }
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace mxfp4
