# `cmake --install`: public headers, library, tool, and the package that find_package(mxfp4) reads.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mxfp4)

install(TARGETS mxfp4 EXPORT mxfp4-targets)
if(TARGET mxfp4_tool)
  install(TARGETS mxfp4_tool)
endif()
if(TARGET mxfp4_mpi)
  install(TARGETS mxfp4_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
# Public is every header but the tool's, the kernels' insides, and those that need a private dependency.
install(DIRECTORY mxfp4 DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.inc"
        PATTERN "cli" EXCLUDE REGEX "/kernel/[^/.]+$" EXCLUDE PATTERN "*_internal.h" EXCLUDE PATTERN "test_*.h" EXCLUDE)

install(EXPORT mxfp4-targets NAMESPACE mxfp4:: DESTINATION ${package_dir})
configure_package_config_file(cmake/mxfp4-config.cmake.in ${PROJECT_BINARY_DIR}/mxfp4-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mxfp4-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mxfp4-config.cmake ${PROJECT_BINARY_DIR}/mxfp4-config-version.cmake
              cmake/FindRE2.cmake DESTINATION ${package_dir})
