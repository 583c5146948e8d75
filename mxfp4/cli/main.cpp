#include "mxfp4/cli/run.h"

int main(int argc, char** argv) {
  return mxfp4::cli::run(argc, argv);
}
