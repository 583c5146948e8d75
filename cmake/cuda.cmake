# mxfp4/kernel/cuda/ needs no CUDA: it is what host and device have in common, tested in every build. What needs it is in
# mxfp4/kernel/cuda/device/. The runtime is linked statically: one program serves machines with and without a driver.
set(MXFP4_CUDA OFF CACHE STRING "The CUDA backend: ON, OFF, or AUTO if nvcc is there")
set_property(CACHE MXFP4_CUDA PROPERTY STRINGS OFF AUTO ON)
set(MXFP4_CUDA_ARCHITECTURES 80-real 90a-real 100a-real 120a-real 80-virtual CACHE STRING
    "What the CUDA backend is compiled for; the virtual one serves devices that are not listed")

set(cuda_built FALSE)
if(MXFP4_CUDA STREQUAL "ON" OR MXFP4_CUDA STREQUAL "AUTO")
  find_program(MXFP4_NVCC nvcc PATHS /usr/local/cuda/bin)
  mark_as_advanced(MXFP4_NVCC)
  if(MXFP4_NVCC)
    set(cuda_built TRUE)
  elseif(MXFP4_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MXFP4_CUDA is ON, but there is no nvcc, neither in PATH nor in /usr/local/cuda/bin")
  endif()
elseif(MXFP4_CUDA)
  message(FATAL_ERROR "MXFP4_CUDA is '${MXFP4_CUDA}'; it can be ON, OFF or AUTO")
endif()

if(cuda_built)
  set(CMAKE_CUDA_COMPILER ${MXFP4_NVCC})
  set(CMAKE_CUDA_ARCHITECTURES ${MXFP4_CUDA_ARCHITECTURES})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  include_directories(SYSTEM ${CUDAToolkit_INCLUDE_DIRS})
endif()

# In front of the library: without the backend its host side belongs to its tests alone.
function(mxfp4_cuda_sources library tests benchmarks)
  if(NOT cuda_built)
    list(FILTER ${benchmarks} EXCLUDE REGEX "/mxfp4/kernel/cuda/device/")
    set(${benchmarks} ${${benchmarks}} PARENT_SCOPE)
    list(FILTER ${tests} EXCLUDE REGEX "/mxfp4/kernel/cuda/device/")
    set(host ${${library}})
    list(FILTER host INCLUDE REGEX "/mxfp4/kernel/cuda/")
    list(FILTER host EXCLUDE REGEX "/mxfp4/kernel/cuda/device/")
    list(FILTER ${library} EXCLUDE REGEX "/mxfp4/kernel/cuda/")
    set(${library} ${${library}} PARENT_SCOPE)
    set(${tests} ${${tests}} ${host} PARENT_SCOPE)
  endif()
endfunction()

# Behind it. A kernel whose registers spill, and whatever ptxas says of code that it had to make slower, are errors.
function(mxfp4_cuda target)
  if(NOT cuda_built)
    return()
  endif()
  file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/mxfp4/kernel/cuda/device/*.cu)
  target_sources(${target} PRIVATE ${kernels})
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 -fmad=false -Xptxas=--warn-on-spills,--warning-as-error --Werror=all-warnings>
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-ffp-contract=off>)
  target_link_libraries(${target} PRIVATE CUDA::cudart_static)
  set_property(SOURCE mxfp4/kernel/devices.cpp APPEND PROPERTY COMPILE_DEFINITIONS MXFP4_CUDA=1)
endfunction()
