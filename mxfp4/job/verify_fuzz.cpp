// Two directories of any files are verified and compared. The input is two models as write_model() takes
// them; without a second one the first stands for both.
#include <cstdint>

#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/job/diff_job.h"
#include "mxfp4/job/inspect_job.h"
#include "mxfp4/job/test_fuzz_model_internal.h"
#include "mxfp4/job/verify_job.h"

namespace {

using namespace mxfp4;
using job::check, job::works;

/// The problems of a model, all of them told. A good one is one that everybody can read.
void verify(const std::filesystem::path& path, const std::filesystem::path& against) {
  job::VerifyRequest request;
  request.path = path;
  request.threads = 1;
  request.content = false;
  std::size_t of_structure = 0;
  works([&] { of_structure = job::run_verify(request).problems.size(); });
  request.content = true;
  works([&] {
    const job::VerifyReport report = job::run_verify(request);
    for (const Problem& problem : report.problems) check(!problem.message.empty());
    check(report.problems.size() >= of_structure);
    if (!report.ok()) return;
    job::InspectRequest inspect;
    inspect.path = path;
    check(works([&] { job::run_inspect(inspect); }));
  });
  request.against = against;
  works([&] { job::run_verify(request); });
}

/// Differences from A to B are differences from B to A, and a model that can be read equals itself.
void diff(const std::filesystem::path& a, const std::filesystem::path& b) {
  for (const bool values : {false, true}) {
    job::DiffRequest request;
    request.threads = 1;
    request.values = values;
    const auto compare = [&](const std::filesystem::path& from, const std::filesystem::path& to) {
      request.a = from;
      request.b = to;
      return job::run_diff(request).equal();
    };
    bool equal = false, again = false;
    const bool read = works([&] { equal = compare(a, b); });
    check(works([&] { again = compare(b, a); }) == read);
    check(equal == again);
    if (read) check(compare(a, a) && compare(b, b));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const TestDirectory directory;
  const std::filesystem::path a = directory / "a", b = directory / "b";
  const std::string_view rest = job::write_model(a, {reinterpret_cast<const char*>(data), size});
  if (!rest.empty()) job::write_model(b, rest);
  const std::filesystem::path& other = rest.empty() ? a : b;
  verify(a, other);
  diff(a, other);
  return 0;
}
