# Each file mxfp4/kernel/cpu/{isa,linear,limits}_<name>.cpp is compiled for its own instruction set; the program chooses
# at run time. With MXFP4_EMULATE what is beyond AVX2 is compiled for AVX2, with the intrinsics of tests/emulated/.
function(mxfp4_isa name)
  if(MXFP4_EMULATE AND NOT name STREQUAL "avx2")
    set(ARGN -mavx2 -mfma -mbmi2 -mf16c -isystem${PROJECT_SOURCE_DIR}/tests/emulated
             -Wno-psabi)  # vectors of 64 bytes are passed in another way without AVX-512
  endif()
  foreach(kind isa linear limits)
    set_source_files_properties(mxfp4/kernel/cpu/${kind}_${name}.cpp PROPERTIES COMPILE_OPTIONS "${ARGN}")
  endforeach()
endfunction()

# Instruction sets that base/isas.inc does not list for this processor family.
function(mxfp4_no_isa)
  foreach(kind isa linear limits)
    list(TRANSFORM ARGN REPLACE ".+" "mxfp4/kernel/cpu/${kind}_\\0.cpp" OUTPUT_VARIABLE sources)
    set_source_files_properties(${sources} PROPERTIES HEADER_FILE_ONLY ON)
  endforeach()
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # g++ 12 takes the deliberately undefined operands in its own header for mistakes
  set(avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vbmi -mfma -mbmi2
      $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  mxfp4_isa(avx2 -mavx2 -mfma -mbmi2)
  mxfp4_isa(avxvnni -mavx2 -mfma -mbmi2 -mavxvnni)
  mxfp4_isa(avx512 ${avx512})
  mxfp4_isa(avx512vnni ${avx512} -mavx512vnni)
  mxfp4_isa(amx ${avx512} -mavx512vnni -mamx-tile -mamx-int8)
  if(MXFP4_EMULATE)
    set_source_files_properties(mxfp4/base/context.cpp PROPERTIES COMPILE_DEFINITIONS MXFP4_EMULATE=1)
  endif()
else()
  mxfp4_no_isa(avx2 avxvnni avx512 avx512vnni amx)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  mxfp4_isa(neondot -march=armv8.2-a+dotprod)
  mxfp4_isa(neoni8mm -march=armv8.2-a+dotprod+i8mm)
  # g++ 12 would read the weights of a whole block first, for which there are no registers
  set_property(SOURCE mxfp4/kernel/cpu/linear_neon.cpp mxfp4/kernel/cpu/linear_neondot.cpp
               mxfp4/kernel/cpu/linear_neoni8mm.cpp
               APPEND PROPERTY COMPILE_OPTIONS $<$<CXX_COMPILER_ID:GNU>:-fno-schedule-insns>)
else()
  mxfp4_no_isa(neon neondot neoni8mm)
endif()
