# Each file mxfp4/kernel/cpu/isa_<name>.cpp is compiled for its own instruction set; the program chooses at run time.
function(mxfp4_isa name)
  set_source_files_properties(mxfp4/kernel/cpu/isa_${name}.cpp PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()

# Instruction sets that base/isas.inc does not list for this processor family.
function(mxfp4_no_isa)
  list(TRANSFORM ARGN REPLACE ".+" "mxfp4/kernel/cpu/isa_\\0.cpp")
  set_source_files_properties(${ARGN} PROPERTIES HEADER_FILE_ONLY ON)
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  mxfp4_isa(avx2 -mavx2 -mfma -mbmi2)
  mxfp4_isa(avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vbmi -mfma -mbmi2
            # g++ 12 takes the deliberately undefined operands in its own header for mistakes
            $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
else()
  mxfp4_no_isa(avx512 avx2)
endif()
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  mxfp4_no_isa(neon)
endif()
