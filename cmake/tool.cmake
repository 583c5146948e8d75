# mxfp4/cli/ -> bin/mxfp4. All but main.cpp is a library of objects, which the folder's tests link as well.
find_package(CLI11 2.1 REQUIRED)
list(FILTER cli_sources EXCLUDE REGEX "/main\\.cpp$")
add_library(mxfp4_cli OBJECT ${cli_sources})
target_link_libraries(mxfp4_cli PUBLIC mxfp4 fmt::fmt nlohmann_json::nlohmann_json CLI11::CLI11 Threads::Threads)
add_executable(mxfp4_tool mxfp4/cli/main.cpp)
target_link_libraries(mxfp4_tool PRIVATE mxfp4_cli)
set_target_properties(mxfp4_tool PROPERTIES OUTPUT_NAME mxfp4 RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin
                                            INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
mxfp4_flags(mxfp4_cli)
mxfp4_quick(mxfp4_cli)
mxfp4_flags(mxfp4_tool)
