// The tool's frame: arguments in, exit status out.
#pragma once

namespace mxfp4::cli {

/// Parses the arguments and runs a verb. Nothing is thrown. The exit status: 0 well; 1 a result that is a no;
/// 2 usage, an OUT that exists, a pattern that matches nothing; 3 any other failure; 128 + n after signal n,
/// a closed pipe included.
int run(int argc, char** argv) noexcept;

}  // namespace mxfp4::cli
