# mxfp4/comm/mpi/ -> libmxfp4_mpi-VERSION.so, a module that the library opens when a launcher has started it as one of
# several ranks: whoever works alone neither needs MPI nor waits for it to load.
if(NOT MXFP4_MPI MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "MXFP4_MPI is '${MXFP4_MPI}'; it can be AUTO, ON or OFF")
endif()
if(MXFP4_MPI STREQUAL "OFF")
  return()
endif()
enable_language(C)  # FindMPI asks for C where MPI's own C++ bindings are gone
if(MXFP4_MPI STREQUAL "ON")
  find_package(MPI REQUIRED COMPONENTS C)
else()
  find_package(MPI QUIET COMPONENTS C)
endif()
if(NOT MPI_C_FOUND)
  message(STATUS "MPI was not found: the tool will run on one rank only")
  return()
endif()
add_library(mxfp4_mpi MODULE mxfp4/comm/mpi/mpi.cpp)
target_include_directories(mxfp4_mpi PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(mxfp4_mpi PRIVATE MPI::MPI_C fmt::fmt)
target_compile_features(mxfp4_mpi PRIVATE cxx_std_20)
mxfp4_flags(mxfp4_mpi)
# It is looked for on the run path of whoever contains the library: a program, or the shared library itself.
set_target_properties(mxfp4_mpi PROPERTIES OUTPUT_NAME mxfp4_mpi-${PROJECT_VERSION}
                                           LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set_target_properties(mxfp4 PROPERTIES BUILD_RPATH ${PROJECT_BINARY_DIR}/bin INSTALL_RPATH "$ORIGIN")
list(APPEND CMAKE_BUILD_RPATH ${PROJECT_BINARY_DIR}/bin)
