# Each file mxfp4/kernel/cpu/isa_<name>.cpp is compiled for its own instruction set; the program chooses at run time.
function(mxfp4_isa name)
  set_source_files_properties(mxfp4/kernel/cpu/isa_${name}.cpp PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  mxfp4_isa(avx2 -mavx2 -mfma -mbmi2)
endif()
