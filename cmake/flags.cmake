# Flags of every target here. They are private: nothing of them reaches a consumer, built or installed.
function(mxfp4_flags target)
  set(flags
    -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
    $<$<COMPILE_LANGUAGE:C>:-pedantic>
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
    $<$<COMPILE_LANGUAGE:CXX>:-Wold-style-cast>
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>  # g++ 12 sees overlaps in std::string's operator+ that are not there
    -ffp-contract=off  # results must not depend on whether the target has fused multiply-add
    $<$<BOOL:${MXFP4_WERROR}>:-Werror>)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:C,CXX>:${flags}>")  # not CUDA
  if(MXFP4_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MXFP4_SANITIZE} -fno-omit-frame-pointer
                                             -fno-sanitize-recover=all)
    target_link_options(${target} PRIVATE -fsanitize=${MXFP4_SANITIZE})
  endif()
endfunction()

# Where the time to compile matters more than the time to run: the tool's surface and the tests.
function(mxfp4_quick target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
