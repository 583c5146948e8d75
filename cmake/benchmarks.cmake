# mxfp4/<folder>/<name>_bench.cpp -> bench/<name>_bench. Programs for people to run, never tests.
find_package(benchmark REQUIRED)
foreach(bench IN LISTS bench_sources)
  get_filename_component(name ${bench} NAME_WE)
  add_executable(${name} ${bench})
  target_link_libraries(${name} PRIVATE mxfp4 fmt::fmt benchmark::benchmark Threads::Threads)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
  mxfp4_flags(${name})
endforeach()
