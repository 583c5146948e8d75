#include "mxfp4/cli/bench_turns.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include <fmt/format.h>
#include <sys/mman.h>

#include "mxfp4/base/error.h"
#include "mxfp4/cli/signals.h"
#include "mxfp4/kernel/device.h"

namespace mxfp4::cli {
namespace {

constexpr std::size_t kHugePage = 2 << 20;
constexpr std::size_t kLine = 64;
constexpr std::size_t kRotated = 220 << 20;  // bytes, at least
constexpr std::size_t kMostCopies = 1024;
constexpr int kFewestRounds = 15, kMostRounds = 101;
constexpr double kSeconds = 1.5;  // that all rounds should take

// What one core sees. (sysconf() gives all of a processor's together on some machines.)
std::size_t last_level_cache() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");  // "32768K"
  std::size_t kilobytes = 0;
  return file >> kilobytes ? kilobytes << 10 : 32 << 20;
}

std::size_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  for (std::size_t kilobytes = 0; file >> name >> kilobytes; file.ignore(64, '\n')) {
    if (name == "MemAvailable:") return kilobytes << 10;
  }
  return 1 << 30;
}

double cpu_seconds() {
  timespec time = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::size_t copies_of(std::size_t bytes, std::size_t buffers) {
  const std::size_t wanted = std::max(kRotated, 4 * last_level_cache()) / bytes + 1;
  const std::size_t possible = available_memory() / 2 / buffers / bytes;
  return std::max<std::size_t>(std::min({wanted, possible, kMostCopies}), 1);
}

}  // namespace

Buffer::Buffer(std::size_t bytes) {
  const std::size_t size = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(kHugePage, size)));
  if (data_ == nullptr) throw Error(ErrorCode::out_of_memory, "bench: no memory for the buffers");
  ::madvise(data_.get(), size, MADV_HUGEPAGE);
  std::memset(data_.get(), 0, size);
}

void Buffer::Free::operator()(std::byte* p) const noexcept {
  std::free(p);
}

Rotation::Rotation(std::size_t bytes, std::size_t buffers)
    : stride_((bytes + kLine - 1) / kLine * kLine),
      copies_(copies_of(stride_, buffers)),
      memory_(stride_ * copies_) {}

bool Rotation::fits_cache() const noexcept {
  return copies_ * stride_ < 2 * last_level_cache();
}

double Timed::median_of(std::size_t begin, std::size_t end) const {
  std::vector<double> part(seconds.begin() + static_cast<std::ptrdiff_t>(begin),
                           seconds.begin() + static_cast<std::ptrdiff_t>(end));
  const auto middle = part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2);
  std::nth_element(part.begin(), middle, part.end());
  return *middle;
}

double Timed::drift() const {
  const double first = median_of(0, seconds.size() / 2),
               second = median_of(seconds.size() / 2, seconds.size());
  return std::max(first, second) / std::min(first, second) - 1;
}

double Timed::share_of_processors(int threads) const {
  std::vector<double> shares;
  for (std::size_t i = 0; i < seconds.size(); ++i) shares.push_back(cpu_seconds[i] / (threads * seconds[i]));
  const auto middle = shares.begin() + static_cast<std::ptrdiff_t>(shares.size() / 2);
  std::nth_element(shares.begin(), middle, shares.end());
  return *middle;
}

double seconds_of(const std::function<void()>& run) {
  if (stop_flag()) throw Error(ErrorCode::interrupted, "stopped");
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Isa best_isa() {
  for (const Isa isa : built_isas()) {
    if (supported(isa)) return isa;
  }
  return Isa::scalar;
}

std::vector<Timed> time_in_turns(const std::vector<Candidate>& candidates) {
  std::vector<Timed> timed;
  for (const Candidate& candidate : candidates) timed.push_back({candidate.name, candidate.work, {}, {}});
  double first_round = 0;
  for (const Candidate& candidate : candidates) first_round += seconds_of(candidate.run);  // warms up
  const int rounds =
      static_cast<int>(std::clamp(kSeconds / first_round, double{kFewestRounds}, double{kMostRounds}));
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const double before = cpu_seconds();
      timed[i].seconds.push_back(seconds_of(candidates[i].run));
      timed[i].cpu_seconds.push_back(cpu_seconds() - before);
    }
  }
  return timed;
}

std::string computed_on() {
  const Context context;
  return context.device.is_cpu() ? to_string(context.isa) : to_string(context.device);
}

std::vector<std::string> warnings_of_device() {
  const Device device = default_device();
  if (device.is_cpu()) return {};
  return {fmt::format("the limits are those of the processor's threads, not of {}",
                      kernel::compute_device(device).name())};
}

}  // namespace mxfp4::cli
