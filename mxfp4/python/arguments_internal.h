// Messages of jobs, which speak of the command line.
#pragma once

#include <string>

namespace mxfp4::python {

/// The same message with Python's arguments in place of the tool's options: "--max-memory of 1000 bytes" is
/// "max_memory of 1000 bytes" here.
std::string in_python(std::string message);

}  // namespace mxfp4::python
